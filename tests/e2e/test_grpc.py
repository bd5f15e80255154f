"""gRPC beside REST at the same doors, by unmodified clients: Python's grpcio with stubs from contracts/, and grpcurl."""

import gzip
import importlib
import json
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import time

import grpc
import httpx
import pytest
from google.protobuf import field_mask_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from shop import ROOT, accepted, new_email, new_key, refused, until

CODE = grpc.StatusCode


@pytest.fixture(scope="module")
def stubs(tmp_path_factory):
    """The modules that grpcio-tools makes of the contracts as they stand."""
    out = tmp_path_factory.mktemp("stubs")
    import grpc_tools
    from grpc_tools import protoc

    names = ["duka/options.proto", "duka/common.proto"]
    names += [f"{name}/v1/{name}.proto" for name in ("users", "products", "orders")]
    here = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    common = pathlib.Path(importlib.import_module("google.api.annotations_pb2").__file__).parents[2]
    code = protoc.main(["protoc", f"-I{ROOT}/contracts", f"-I{here}", f"-I{common}",
                        f"--python_out={out}", f"--grpc_python_out={out}", *names])  # fmt: skip
    assert code == 0
    sys.path.insert(0, str(out))
    made = {"folder": out}
    for name in ("users", "products", "orders"):
        made[name] = importlib.import_module(f"{name}.v1.{name}_pb2")
        made[name + "_grpc"] = importlib.import_module(f"{name}.v1.{name}_pb2_grpc")
    return made


class Caller:
    """Somebody who calls over gRPC at one door."""

    def __init__(self, address, stubs, token=None):
        self.stubs, self.token = stubs, token
        self.channel = grpc.insecure_channel(address)
        self.users = stubs["users_grpc"].UsersStub(self.channel)
        self.products = stubs["products_grpc"].ProductsStub(self.channel)
        self.orders = stubs["orders_grpc"].OrdersStub(self.channel)

    def metadata(self, **more):
        given = {name.replace("_", "-"): value for name, value in more.items()}
        if self.token:
            given["authorization"] = "Bearer " + self.token
        return tuple(given.items())


@pytest.fixture
def caller(shop, stubs):
    made = []

    def make(person=None, door="listen"):
        made.append(Caller(shop.addresses[door], stubs, person and person.token))
        return made[-1]

    yield make
    for one in made:
        one.channel.close()


def details_of(error):
    """The details of a status by their type."""
    found = {}
    for detail in rpc_status.from_call(error).details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest,
                     error_details_pb2.RetryInfo):  # fmt: skip
            if detail.Is(kind.DESCRIPTOR):
                found[kind.__name__] = kind()
                detail.Unpack(found[kind.__name__])
    return found


def refusal(code, word, call):
    """Checks that a call is refused; gives the details of its status."""
    with pytest.raises(grpc.RpcError) as failed:
        call()
    assert failed.value.code() == code, failed.value
    details = details_of(failed.value)
    assert details["ErrorInfo"].reason == word and details["ErrorInfo"].domain == "duka"
    assert len(details["ErrorInfo"].metadata["trace_id"]) == 32
    return details


def order_of(stubs, sku, quantity=1):
    message = stubs["orders"].CreateOrderRequest()
    message.lines.add(sku=sku, quantity=quantity)
    message.payment.provider, message.payment.token = "simulator", "approve"
    return message


def test_a_customer_registers_logs_in_and_orders(shop, staff, caller, stubs):
    users, anyone = stubs["users"], caller()
    email = new_email("rpc")
    made = anyone.users.Register(
        users.RegisterRequest(email=email, password="correct horse battery", name="Amina")
    )
    tokens = anyone.users.Login(users.LoginRequest(email=email, password="correct horse battery"))
    anyone.token = tokens.access_token
    assert anyone.users.GetMe(users.GetMeRequest(), metadata=anyone.metadata()).id == made.id

    sku = staff.new_sku(on_hand=5, price=450)
    key = new_key()
    asked = order_of(stubs, sku, 2)
    first, call = anyone.orders.CreateOrder.with_call(
        asked, metadata=anyone.metadata(idempotency_key=key, prefer="wait=10")
    )
    assert first.total.amount >= 900
    sent = dict(call.initial_metadata())
    assert len(sent["traceparent"]) == 55 and sent["x-request-id"]
    again, call = anyone.orders.CreateOrder.with_call(
        asked, metadata=anyone.metadata(idempotency_key=key)
    )
    assert again.id == first.id
    assert dict(call.initial_metadata())["idempotent-replayed"] == "true"

    # The same order over REST.
    rest = httpx.get(f"{shop.url}/orders/{first.id}", headers={"Authorization": "Bearer " + anyone.token})
    assert accepted(rest)["total"]["amount"] == first.total.amount
    assert staff.levels(sku)[1] == 2


def test_a_key_is_the_same_over_rest_and_over_grpc(shop, staff, customer, caller, stubs):
    me, sku, key, orders = caller(customer), staff.new_sku(on_hand=20), new_key(), stubs["orders"]
    first = accepted(customer.place(sku, key=key), 201)
    asked = order_of(stubs, sku)
    again, call = me.orders.CreateOrder.with_call(asked, metadata=me.metadata(idempotency_key=key))
    assert again.id == first["id"] and dict(call.initial_metadata())["idempotent-replayed"] == "true"
    asked.lines[0].quantity += 1
    refusal(CODE.INVALID_ARGUMENT, "idempotency.key_reused",
            lambda: me.orders.CreateOrder(asked, metadata=me.metadata(idempotency_key=key)))  # fmt: skip

    # The other way round, for a call of one resource: the key of one order says nothing about another.
    key, other = new_key(), accepted(customer.place(sku), 201)
    cancel = orders.CancelOrderRequest(id=first["id"])
    me.orders.CancelOrder(cancel, metadata=me.metadata(idempotency_key=key))
    again = customer.post(f"/orders/{first['id']}/cancel", key=key, json={})
    assert again.status_code == 200 and again.headers["idempotent-replayed"] == "true"
    fresh = customer.post(f"/orders/{other['id']}/cancel", key=key, json={})
    assert fresh.status_code == 200 and "idempotent-replayed" not in fresh.headers
    until(lambda: staff.levels(sku)[1] == 0, what="both holds to be freed")


def test_a_refusal_has_the_same_word_and_fields_as_over_rest(shop, staff, customer, caller, stubs):
    me, anyone, orders = caller(customer), caller(), stubs["orders"]
    sku = staff.new_sku(on_hand=1)

    refusal(CODE.UNAUTHENTICATED, "auth.token_missing", lambda: anyone.orders.ListOrders(orders.ListOrdersRequest()))
    refusal(CODE.INVALID_ARGUMENT, "idempotency.key_required",
            lambda: me.orders.CreateOrder(order_of(stubs, sku), metadata=me.metadata()))  # fmt: skip
    found = refusal(CODE.INVALID_ARGUMENT, "field.invalid",
                    lambda: me.orders.CreateOrder(order_of(stubs, sku, 0), metadata=me.metadata(idempotency_key=new_key())))  # fmt: skip
    assert [one.field for one in found["BadRequest"].field_violations] == ["lines.0.quantity"]
    found = refusal(CODE.FAILED_PRECONDITION, "stock.insufficient",
                    lambda: me.orders.CreateOrder(order_of(stubs, sku, 2), metadata=me.metadata(idempotency_key=new_key(), prefer="wait=10")))  # fmt: skip
    assert found["ErrorInfo"].metadata["subject"]
    refusal(CODE.NOT_FOUND, "not_found", lambda: me.orders.GetOrder(
        orders.GetOrderRequest(id="01890000-0000-7000-8000-000000000000"), metadata=me.metadata()))  # fmt: skip
    refusal(CODE.PERMISSION_DENIED, "auth.role_missing", lambda: me.users.ListUsers(
        stubs["users"].ListUsersRequest(), metadata=me.metadata()))  # fmt: skip


def test_an_api_key_calls_over_grpc_as_over_rest(shop, staff, caller, stubs):
    key, sku = shop.new_api_key("stock_write"), staff.new_sku(on_hand=3)
    for door in ("listen", "products"):
        server, bad = caller(key, door), caller(key, door)
        asked = stubs["products"].AdjustStockRequest(
            sku=sku, delta=1, reason=stubs["products"].ADJUSTMENT_REASON_RECEIVED
        )
        metadata = server.metadata(idempotency_key=new_key())
        assert server.products.AdjustStock(asked, metadata=metadata).on_hand == 4 + (door == "products")
        question = stubs["products"].GetStockRequest(sku=sku)
        details = refusal(CODE.PERMISSION_DENIED, "auth.scope_missing",
                          lambda: server.products.GetStock(question, metadata=server.metadata()))  # fmt: skip
        assert details
        bad.token = key.token[:-1]
        refusal(CODE.UNAUTHENTICATED, "auth.token_invalid", lambda: bad.products.GetStock(question, metadata=bad.metadata()))
        assert caller(staff, door).products.GetStock(question, metadata=caller(staff, door).metadata()).on_hand >= 4


def test_a_version_is_read_and_demanded_by_metadata(customer, caller, stubs):
    me, users = caller(customer), stubs["users"]
    _, call = me.users.GetMe.with_call(users.GetMeRequest(), metadata=me.metadata())
    etag = dict(call.initial_metadata())["etag"]
    change = users.UpdateMeRequest(name="Zuri", update_mask=field_mask_pb2.FieldMask(paths=["name"]))
    refusal(CODE.FAILED_PRECONDITION, "version.required", lambda: me.users.UpdateMe(change, metadata=me.metadata()))
    assert me.users.UpdateMe(change, metadata=me.metadata(if_match=etag)).name == "Zuri"
    refusal(CODE.ABORTED, "version.stale", lambda: me.users.UpdateMe(change, metadata=me.metadata(if_match=etag)))


def test_pages_are_walked_and_a_cursor_belongs_to_its_question(staff, caller, stubs):
    products, anyone = stubs["products"], caller()
    for _ in range(3):
        staff.create_product()
    first = anyone.products.ListProducts(products.ListProductsRequest(limit=2))
    assert len(first.items) == 2 and first.next
    second = anyone.products.ListProducts(products.ListProductsRequest(limit=1, after=first.next))
    assert second.items[0].id not in {item.id for item in first.items}
    refusal(CODE.INVALID_ARGUMENT, "cursor.invalid", lambda: anyone.products.ListProducts(
        products.ListProductsRequest(limit=2, after=first.next, q="tea")))  # fmt: skip


def test_every_door_speaks_it_and_what_is_not_for_outside_is_not_there(shop, customer, caller, stubs):
    users = stubs["users"]
    direct = caller(customer, "users")
    assert direct.users.GetMe(users.GetMeRequest(), metadata=direct.metadata()).id == customer.id
    refusal(CODE.UNIMPLEMENTED, "rpc.unknown", lambda: direct.orders.ListOrders(
        stubs["orders"].ListOrdersRequest(), metadata=direct.metadata()))  # fmt: skip
    me = caller(customer)
    unknown = me.channel.unary_unary("/orders.v1.Orders/Nothing")
    refusal(CODE.UNIMPLEMENTED, "rpc.unknown", lambda: unknown(b"", metadata=me.metadata()))
    unknown = me.channel.unary_unary("/nothing.v1.Nothing/At")
    refusal(CODE.UNIMPLEMENTED, "rpc.unknown", lambda: unknown(b""))


def test_files_go_by_http_only(staff, caller, stubs):
    me, products = caller(staff), stubs["products"]
    refusal(CODE.UNIMPLEMENTED, "rpc.unknown", lambda: me.products.CreateImport(
        products.CreateImportRequest(file=b"Handle,Title\n"), metadata=me.metadata()))  # fmt: skip
    refusal(CODE.UNIMPLEMENTED, "rpc.unknown", lambda: me.products.ExportProducts(
        products.ExportProductsRequest(), metadata=me.metadata()))  # fmt: skip


def test_a_deadline_is_honoured_and_a_wrong_one_is_refused(shop, staff, customer, caller, stubs):
    me, sku = caller(customer), staff.new_sku()
    asked = order_of(stubs, sku)
    asked.payment.token = "late"
    began = time.monotonic()
    try:
        answer = me.orders.CreateOrder(asked, timeout=0.5, metadata=me.metadata(idempotency_key=new_key(), prefer="wait=10"))
        assert answer.id
    except grpc.RpcError as error:
        assert error.code() == CODE.DEADLINE_EXCEEDED
    assert time.monotonic() - began < 3
    status = raw_call(shop, "/users.v1.Users/Keys", frame(b""), {"grpc-timeout": "soon"})
    assert status["grpc-status"] == "3"
    status = raw_call(shop, "/users.v1.Users/Keys", frame(b""), {"grpc-timeout": "0n"})
    assert status["grpc-status"] == "4"
    status = raw_call(shop, "/users.v1.Users/Keys", frame(b""), {"grpc-timeout": "5S"})
    assert status["grpc-status"] == "0"


# ---- Frames ----


def frame(message, compressed=0):
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message


def raw_call(shop, path, body, headers=None, into=None):
    """The headers and trailers of a call whose body is given as it is; its answer's body goes to into["body"]."""
    import h2.config
    import h2.connection
    import h2.events
    import socket

    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.initiate_connection()
    host, port = shop.addresses["listen"].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        fields = {":method": "POST", ":scheme": "http", ":authority": "h", ":path": path,
                  "content-type": "application/grpc", "te": "trailers", **(headers or {})}  # fmt: skip
        wire.sendall(connection.data_to_send())
        connection.receive_data(wire.recv(65536))  # the server's settings: its window
        connection.send_headers(1, list(fields.items()))
        for at in range(0, len(body), 16384):
            connection.send_data(1, body[at : at + 16384])
        connection.end_stream(1)
        wire.sendall(connection.data_to_send())
        told = {}
        while True:
            for event in connection.receive_data(wire.recv(65536)):
                if isinstance(event, h2.events.DataReceived) and into is not None:
                    into["body"] = into.get("body", b"") + event.data
                if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                    told.update(event.headers)
                if isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
                    return told
            wire.sendall(connection.data_to_send())


def test_frames_that_are_wrong_are_refused_and_the_right_one_is_taken(shop):
    path = "/users.v1.Users/Keys"
    assert raw_call(shop, path, frame(b""))["grpc-status"] == "0"
    for body, status in (
        (b"", "3"),
        (b"\0\0", "3"),
        (frame(b"")[:-1], "3"),
        (frame(b"") + b"x", "3"),
        (frame(b"") * 2, "3"),
        (frame(b"\xff\xff\xff"), "3"),
        (b"\2" + frame(b"")[1:], "3"),
        (b"\0\xff\xff\xff\xff", "8"),
        (frame(b"", compressed=1), "12"),
        (frame(b"\x0a\x01x" * 25_000), "8"),  # 75 kB: more than a call takes
    ):
        told = raw_call(shop, path, body)
        assert told["grpc-status"] == status, (body[:20], told)
        assert told[":status"] == "200" and told["content-type"] == "application/grpc"
        assert told["grpc-message"]


def test_packed_messages_are_taken_up_to_what_the_call_takes(shop, staff, caller, stubs):
    path, gzipped = "/products.v1.Products/ListProducts", {"grpc-encoding": "gzip"}
    ask = stubs["products"].ListProductsRequest(q="tea", limit=1).SerializeToString()
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 60_000
    for body, headers, status in (
        (frame(gzip.compress(ask), compressed=1), gzipped, "0"),
        (frame(ask), gzipped, "0"),
        (frame(bomb, compressed=1), gzipped, "8"),
        (frame(gzip.compress(ask)[:-5], compressed=1), gzipped, "3"),
        (frame(ask, compressed=1), gzipped, "3"),
        (frame(gzip.compress(ask), compressed=1), {"grpc-encoding": "br"}, "12"),
        (frame(gzip.compress(ask), compressed=1), {}, "12"),
    ):
        told = raw_call(shop, path, body, headers)
        assert told["grpc-status"] == status, (body[:20], told)
        if status in ("0", "12"):
            assert told["grpc-accept-encoding"] == "identity,gzip"


def test_answers_are_packed_for_a_client_that_takes_that(shop, staff, caller, stubs):
    """grpcio says what it takes and unpacks by itself; what came over the wire is told by the raw call."""
    products, anyone = stubs["products"], caller()
    for _ in range(5):
        staff.create_product(description="so many words " * 200)
    answer = anyone.products.ListProducts(products.ListProductsRequest(limit=5), compression=grpc.Compression.Gzip)
    assert len(answer.items) == 5
    asked = frame(products.ListProductsRequest(limit=5).SerializeToString())
    plain, packed = {}, {}
    told = raw_call(shop, "/products.v1.Products/ListProducts", asked, into=plain)
    assert "grpc-encoding" not in told and plain["body"][0] == 0
    told = raw_call(shop, "/products.v1.Products/ListProducts", asked, {"grpc-accept-encoding": "deflate, gzip"}, into=packed)
    assert told["grpc-encoding"] == "gzip" and packed["body"][0] == 1
    assert len(packed["body"]) < len(plain["body"]) / 2
    assert gzip.decompress(packed["body"][5:]) == plain["body"][5:]


# ---- What every door answers itself ----


def health_of(address):
    channel = grpc.insecure_channel(address)
    return channel, health_pb2_grpc.HealthStub(channel)


def test_health_is_told_by_service_at_every_door(shop):
    SERVING, request = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckRequest
    for door, names in (("listen", ["users.v1.Users", "products.v1.Products", "orders.v1.Orders"]),
                        ("users", ["users.v1.Users"])):  # fmt: skip
        channel, health = health_of(shop.addresses[door])
        with channel:
            for name in ["", *names]:
                assert health.Check(request(service=name), timeout=10).status == SERVING
            with pytest.raises(grpc.RpcError) as failed:
                health.Check(request(service="orders.v1.Nothing"), timeout=10)
            assert failed.value.code() == CODE.NOT_FOUND


def test_a_watcher_hears_that_the_shop_drains(new_shop):
    shop = new_shop(DRAIN_TIME="3s").start()
    channel, health = health_of(shop.addresses["listen"])
    with channel:
        told = health.Watch(health_pb2.HealthCheckRequest(service="orders.v1.Orders"), timeout=60)
        assert next(told).status == health_pb2.HealthCheckResponse.SERVING
        strange = health.Watch(health_pb2.HealthCheckRequest(service="nothing"), timeout=60)
        assert next(strange).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        strange.cancel()
        shop.process.send_signal(signal.SIGTERM)
        assert next(told).status == health_pb2.HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.RpcError) as failed:
            next(told)
        assert failed.value.code() == CODE.UNAVAILABLE
    assert shop.wait_end() == 0


def test_a_watch_ends_at_its_deadline_and_its_connection_goes_on(shop):
    channel, health = health_of(shop.addresses["listen"])
    with channel:
        told = health.Watch(health_pb2.HealthCheckRequest(), timeout=1)
        assert next(told).status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as failed:
            next(told)
        assert failed.value.code() == CODE.DEADLINE_EXCEEDED
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_the_contracts(shop, version):
    """Many questions over one stream, sent one after the other, and all at once."""
    Request = reflection_pb2.ServerReflectionRequest  # the messages of v1 are the same
    symbols = ["orders.v1.Orders", "users.v1.LoginRequest", "products.v1.Products.ListProducts", "grpc.health.v1.Health"]
    with grpc.insecure_channel(shop.addresses["listen"]) as channel:
        ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=Request.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        asked = queue.Queue()
        answers = ask(iter(asked.get, None), timeout=30)
        asked.put(Request(list_services="*"))
        listed = {one.name for one in next(answers).list_services_response.service}
        assert {"users.v1.Users", "products.v1.Products", "orders.v1.Orders", "grpc.health.v1.Health"} <= listed
        for symbol in symbols:
            asked.put(Request(file_containing_symbol=symbol))
            assert next(answers).file_descriptor_response.file_descriptor_proto
        asked.put(Request(file_containing_symbol="orders.v1.Nothing"))
        assert next(answers).error_response.error_code == 5
        asked.put(None)
        assert list(answers) == []

        many = [Request(file_by_filename=f"{name}/v1/{name}.proto") for name in ("users", "orders")] * 500
        answers = list(ask(iter(many), timeout=60))
        assert len(answers) == 1000
        assert all(one.file_descriptor_response.file_descriptor_proto for one in answers)


def test_reflection_is_off_where_it_is_not_wanted(new_shop):
    shop = new_shop(GRPC_REFLECTION="false").start()
    with grpc.insecure_channel(shop.addresses["listen"]) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        with pytest.raises(grpc.RpcError) as failed:
            list(stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")])))
        assert failed.value.code() == CODE.UNIMPLEMENTED
        assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status


def test_the_protocols_of_grpc_are_told_as_grpc_has_them(stubs):
    """Our copies of health.proto and reflection.proto against those that grpcio's own packages carry."""
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    def shapes(messages, prefix=""):
        for message in messages:
            for field in message.field:
                kind = field.type_name.replace(".v1alpha.", ".v1.")
                yield prefix + message.name, field.name, field.number, field.type, field.label, kind
            yield from shapes(message.nested_type, prefix + message.name + ".")

    for name, theirs in (("health/v1/health", health_pb2), ("reflection/v1/reflection", reflection_pb2),
                         ("reflection/v1alpha/reflection", reflection_pb2)):  # fmt: skip
        out = pathlib.Path(stubs["folder"], "one.pb")
        assert protoc.main(["protoc", f"-I{ROOT}/contracts", f"--descriptor_set_out={out}", f"grpc/{name}.proto"]) == 0
        ours = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file[0]
        known = descriptor_pb2.FileDescriptorProto.FromString(theirs.DESCRIPTOR.serialized_pb)
        assert set(shapes(ours.message_type)) <= set(shapes(known.message_type)), name
        for service in ours.service:
            same = next(one for one in known.service if one.name == service.name)
            told = {(call.name, call.client_streaming, call.server_streaming) for call in same.method}
            assert {(call.name, call.client_streaming, call.server_streaming) for call in service.method} <= told


def test_over_http_1_it_is_refused_as_any_other_type(shop):
    answer = httpx.post(shop.url + "/users.v1.Users/Keys", content=frame(b""),
                        headers={"Content-Type": "application/grpc"})  # fmt: skip
    refused(answer, 404, "route.unknown")


def tool(name):
    program = shutil.which(name, path=f"{ROOT}/build/tools")
    if not program:
        pytest.skip(f"{name} is not in build/tools: scripts/wire-tools builds it where there is Go")
    return program


def grpcurl(shop, *words):
    """What grpcurl says, which knows no contract but by reflection."""
    said = subprocess.run([tool("grpcurl"), "-plaintext", *words[:-1], shop.addresses["listen"], *words[-1].split()],
                          capture_output=True, text=True, timeout=60)  # fmt: skip
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_grpcurl_needs_nothing_but_the_address(shop, customer):
    assert "orders.v1.Orders\n" in grpcurl(shop, "list")
    assert "orders.v1.Orders.CreateOrder" in grpcurl(shop, "list orders.v1.Orders")
    told = grpcurl(shop, "describe orders.v1.Orders.CreateOrder")
    assert "rpc CreateOrder ( .orders.v1.CreateOrderRequest )" in told
    assert ".duka.call" in told  # the options of ours are readable, too
    assert '"SERVING"' in grpcurl(shop, "grpc.health.v1.Health/Check")
    me = grpcurl(shop, "-H", f"authorization: Bearer {customer.token}", "users.v1.Users/GetMe")
    assert json.loads(me)["id"] == customer.id


def test_a_client_in_go_finds_all_by_reflection(shop, customer):
    words = [tool("grpc-go-client"), shop.addresses["listen"], customer.email, customer.password]
    said = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert said.returncode == 0, said.stderr
    told = {}
    for line in said.stdout.splitlines():
        told.update(json.loads(line))
    assert told == {"health": "SERVING", "id": customer.id, "refused": ["Unauthenticated", 1], "late": "DeadlineExceeded"}
