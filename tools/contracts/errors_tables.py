"""Reads contracts/errors.tbl and contracts/errors_kinds.tbl: every error word with its status."""
import re
from dataclasses import dataclass

from problem import ContractError

ERROR = re.compile(r'^ERROR\((\w+),\s*"([^"]+)",\s*(\w+),\s*"([^"]*)"\)', re.MULTILINE)
KIND = re.compile(r"^KIND\((\w+),\s*(\d+),\s*(\d+)\)", re.MULTILINE)


@dataclass(frozen=True)
class Error:
    code: str
    word: str
    status: int
    sentence: str


def read_errors(contracts):
    """{word: Error}, in the order of the table."""
    kinds = {name: int(http) for name, http, _ in
             KIND.findall((contracts / "errors_kinds.tbl").read_text(encoding="utf-8"))}
    errors = {}
    for code, word, kind, sentence in ERROR.findall(
            (contracts / "errors.tbl").read_text(encoding="utf-8")):
        if kind not in kinds:
            raise ContractError("errors.tbl", f"{code} has the unknown kind {kind}",
                                "Take one of errors_kinds.tbl.")
        errors[word] = Error(code, word, kinds[kind], sentence)
    return errors
