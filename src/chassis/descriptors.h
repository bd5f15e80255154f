/* The descriptors of all contracts as protoc wrote them, for server reflection; tools/contracts
 * makes the tables (gen/descriptors.c). */
#pragma once
#include "base/str.h"

struct descriptor_file {
    str name;           /* "orders/v1/orders.proto" */
    str bytes;          /* google.protobuf.FileDescriptorProto */
    const int *imports; /* indices into descriptor_files, each less than its own */
    int imports_count;
};

struct descriptor_symbol {
    str name; /* "orders.v1.Orders.CreateOrder"; sorted */
    int file;
};

struct descriptor_extension {
    str type; /* the type that is extended: "google.protobuf.MethodOptions" */
    int number;
    int file;
};

/* Every file before those that import it; symbols in the order of their bytes. */
extern const struct descriptor_file descriptor_files[];
extern const int descriptor_files_count;
extern const struct descriptor_symbol descriptor_symbols[];
extern const int descriptor_symbols_count;
extern const struct descriptor_extension descriptor_extensions[];
extern const int descriptor_extensions_count;
