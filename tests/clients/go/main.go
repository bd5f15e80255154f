// A client in Go that knows no contract of Duka: it asks for them by reflection and calls with what it was told.
//
//	grpc-go-client ADDRESS EMAIL PASSWORD      (an account that exists)
//
// Prints one line of JSON for each thing that it saw; tests/e2e/test_grpc.py reads them.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tell(what string, value any) {
	line, err := json.Marshal(map[string]any{what: value})
	must(err)
	fmt.Println(string(line))
}

// filesOf asks for the file of a symbol; all that it imports comes with it.
func filesOf(ctx context.Context, conn *grpc.ClientConn, symbol string) *protoregistry.Files {
	stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	must(err)
	must(stream.Send(&reflection.ServerReflectionRequest{
		MessageRequest: &reflection.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol}}))
	answer, err := stream.Recv()
	must(err)
	must(stream.CloseSend())
	set := &descriptorpb.FileDescriptorSet{}
	for _, bytes := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := &descriptorpb.FileDescriptorProto{}
		must(proto.Unmarshal(bytes, file))
		set.File = append(set.File, file)
	}
	files, err := protodesc.NewFiles(set)
	must(err)
	return files
}

// caller calls methods of one service with texts as fields.
type caller struct {
	conn    *grpc.ClientConn
	service protoreflect.ServiceDescriptor
}

func (c caller) call(ctx context.Context, name string, fields map[string]string, options ...grpc.CallOption) (*dynamicpb.Message, error) {
	method := c.service.Methods().ByName(protoreflect.Name(name))
	in, out := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	for field, value := range fields {
		in.Set(method.Input().Fields().ByName(protoreflect.Name(field)), protoreflect.ValueOfString(value))
	}
	err := c.conn.Invoke(ctx, fmt.Sprintf("/%s/%s", c.service.FullName(), name), in, out, options...)
	return out, err
}

func text(message *dynamicpb.Message, field string) string {
	return message.Get(message.Descriptor().Fields().ByName(protoreflect.Name(field))).String()
}

func main() {
	address, email, password := os.Args[1], os.Args[2], os.Args[3]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	defer conn.Close()

	checked, err := health.NewHealthClient(conn).Check(ctx, &health.HealthCheckRequest{Service: "users.v1.Users"})
	must(err)
	tell("health", checked.GetStatus().String())

	found, err := filesOf(ctx, conn, "users.v1.Users").FindDescriptorByName("users.v1.Users")
	must(err)
	users := caller{conn, found.(protoreflect.ServiceDescriptor)}
	tokens, err := users.call(ctx, "Login", map[string]string{"email": email, "password": password}, grpc.UseCompressor(gzip.Name))
	must(err)
	mine := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+text(tokens, "access_token"))
	me, err := users.call(mine, "GetMe", nil)
	must(err)
	tell("id", text(me, "id"))

	_, err = users.call(ctx, "GetMe", nil)
	refused := status.Convert(err)
	tell("refused", []any{refused.Code().String(), len(refused.Proto().GetDetails())})

	late, stop := context.WithTimeout(mine, time.Nanosecond)
	defer stop()
	_, err = users.call(late, "GetMe", nil)
	tell("late", status.Code(err).String())
}
