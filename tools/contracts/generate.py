"""Makes C and OpenAPI from the contracts.

    generate.py --contracts contracts --out build/contracts/gen    the C files and openapi.json
    generate.py --contracts contracts --openapi FILE               openapi.json alone, to FILE

Run by Meson with the Python of build/venv. A file that would not change is left as it is, so that
what depends on it is not compiled again. What is made stands in contracts/gen/meson.build too."""
import argparse
import pathlib
import sys

from c_clients import make_client_header, make_client_source
from c_descriptors import make_descriptors
from c_dispatch import make_dispatch
from c_listeners import make_listeners_c, make_listeners_h
from c_tables import includes_of, make_header, make_source
from check import check
from descriptors import SHARED, import_options, include_paths, make_pb_c, read_contracts
from errors_tables import read_errors
from openapi import make_openapi, make_openapi_c, make_openapi_h
from problem import ContractError
from reader import read

SHARED_UNITS = {"duka": f"contracts/{SHARED}", "google": "google/protobuf"}


def contract_files(contracts):
    """The shared words, then each service's contract: contracts/<unit>/v1/<unit>.proto."""
    found = contracts.glob("*/v*/*.proto")
    return [SHARED, *sorted(path.relative_to(contracts).as_posix() for path in found)]


def reflected_files(contracts):
    """The contracts, and the protocols of gRPC itself: what reflection tells."""
    found = contracts.glob("grpc/*/v*/*.proto")
    return contract_files(contracts) + sorted(path.relative_to(contracts).as_posix() for path in found)


def load(contracts):
    """The checked model, and the C of protoc-gen-c."""
    includes = include_paths(contracts)
    options, pb_c = import_options(includes)
    files = read_contracts(includes, contract_files(contracts))
    model = read(files, options, read_errors(contracts))
    check(model)
    return model, lambda: make_pb_c(files, pb_c)


def unit_files(model, unit, service, source):
    made = {f"{unit}.h": make_header(model, unit, service, source,
                                     includes_of(model, unit, service)),
            f"{unit}.c": make_source(model, unit, service, source)}
    if service:
        made[f"{unit}_dispatch.c"] = make_dispatch(model, service, source)
        made[f"{unit}_client.h"] = make_client_header(service, source)
        made[f"{unit}_client.c"] = make_client_source(service, source)
    return made


def all_files(model, pb_c):
    """{name: text} of all that is generated."""
    made = pb_c()
    made["openapi.json"] = make_openapi(model)
    made["openapi.h"] = make_openapi_h()
    made["openapi.c"] = make_openapi_c(made["openapi.json"])
    made["listeners.h"], made["listeners.c"] = make_listeners_h(), make_listeners_c(model)
    for unit, source in SHARED_UNITS.items():
        made.update(unit_files(model, unit, None, source))
    for service in model.services:
        made.update(unit_files(model, service.unit, service, f"contracts/{service.file}"))
    return made


def write(path, text):
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contracts", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--openapi", type=pathlib.Path)
    told = parser.parse_args()
    try:
        model, pb_c = load(told.contracts)
        if told.out:
            told.out.mkdir(parents=True, exist_ok=True)
            made = all_files(model, pb_c)
            made["descriptors.c"] = make_descriptors(include_paths(told.contracts),
                                                     reflected_files(told.contracts))
            for name, text in made.items():
                write(told.out / name, text)
        if told.openapi:
            write(told.openapi, make_openapi(model))
    except ContractError as error:
        sys.exit(f"contracts: {error}")


if __name__ == "__main__":
    main()
