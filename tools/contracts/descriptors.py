"""Runs protoc: the contracts as descriptors with readable options, and as C by protoc-gen-c."""
import importlib
import os
import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

from names import c_package
from problem import ContractError

TEXT = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
WELL_KNOWN = ("google/protobuf/timestamp.proto", "google/protobuf/field_mask.proto")
SHARED = "duka/common.proto"
# Imported for their options only; C has no use for them.
OPTION_FILES = ("google/api/annotations.proto", "google/api/http.proto", "duka/options.proto",
                "google/protobuf/descriptor.proto")


def include_paths(contracts):
    """Where protoc looks: the contracts, google/api from PyPI, google/protobuf and protobuf-c."""
    import google.api.annotations_pb2 as annotations
    site = pathlib.Path(annotations.__file__).parents[2]
    return [str(contracts), str(site), "/usr/include"]


def run_protoc(includes, *arguments):
    """Runs protoc; its own words tell what it did not like."""
    command = ["protoc", *(f"-I{path}" for path in includes), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ContractError("protoc", done.stderr.strip(), "Correct the .proto file.")


def import_options(includes):
    """Compiles our options and protobuf-c's for Python, so that they can be read and written."""
    with tempfile.TemporaryDirectory() as folder:
        run_protoc(includes, f"--python_out={folder}", "duka/options.proto",
                   "protobuf-c/protobuf-c.proto")
        sys.path.insert(0, folder)
        importlib.invalidate_caches()
        try:
            return (importlib.import_module("duka.options_pb2"),
                    importlib.import_module("protobuf_c.protobuf_c_pb2"))
        finally:
            sys.path.remove(folder)


def read_contracts(includes, files):
    """All files that the contracts need, in order of their imports, as FileDescriptorProto."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "contracts.pb")
        run_protoc(includes, "--include_imports", "--include_source_info",
                   f"--descriptor_set_out={out}", *WELL_KNOWN, *files)
        found = descriptor_pb2.FileDescriptorSet()
        found.ParseFromString(pathlib.Path(out).read_bytes())
    return list(found.file)


def bare_files(includes, names):
    """The files with all that they import, each after what it imports, without the places in their source."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "bare.pb")
        run_protoc(includes, "--include_imports", f"--descriptor_set_out={out}", *names)
        found = descriptor_pb2.FileDescriptorSet()
        found.ParseFromString(pathlib.Path(out).read_bytes())
    return list(found.file)


def c_file(name):
    """orders/v1/orders.proto -> gen/orders.proto: one flat folder of generated code."""
    if name == SHARED:
        return "gen/duka.proto"
    return "gen/" + name.rsplit("/", 1)[-1]


def strip_messages(messages, pb_c):
    """Texts become bytes with a length (protobuf-c would cut them at U+0000); options go."""
    for message in messages:
        message.ClearField("options")
        for field in message.field:
            field.ClearField("options")
            if field.type == TEXT:
                field.options.Extensions[pb_c.pb_c_field].string_as_bytes = True
        strip_messages(message.nested_type, pb_c)


def strip(files, pb_c):
    """What protoc-gen-c shall see: messages and enums alone, under the names that we want."""
    out = descriptor_pb2.FileDescriptorSet()
    for file in files:
        if file.name in OPTION_FILES:
            continue
        bare = out.file.add()
        bare.CopyFrom(file)
        bare.name = c_file(file.name)
        for part in ("dependency", "public_dependency", "weak_dependency", "service",
                     "extension", "options", "source_code_info"):
            bare.ClearField(part)
        bare.dependency.extend(c_file(name) for name in file.dependency
                               if name not in OPTION_FILES)
        # message.h packs any message by its descriptor: no functions for each.
        bare.options.Extensions[pb_c.pb_c_file].gen_pack_helpers = False
        bare.options.Extensions[pb_c.pb_c_file].c_package = c_package(file.package)
        strip_messages(bare.message_type, pb_c)
    return out


def make_pb_c(files, pb_c):
    """The text of each <unit>.pb-c.[hc] that protoc-gen-c makes, by file name."""
    stripped = strip(files, pb_c)
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "stripped.pb")
        pathlib.Path(path).write_bytes(stripped.SerializeToString(deterministic=True))
        run_protoc([], f"--descriptor_set_in={path}", f"--c_out={scratch}",
                   *(file.name for file in stripped.file))
        return {made.name: made.read_text(encoding="utf-8")
                for made in sorted(pathlib.Path(scratch, "gen").iterdir())}
