"""Whether one of the statements that cosign verified says of an image what a file says: attested.py STATEMENTS DIGEST FILE"""
import base64
import json
import pathlib
import sys


def statements(text):
    """cosign prints an envelope a line; what was signed is in its payload."""
    for line in text.splitlines():
        if line.strip():
            yield json.loads(base64.b64decode(json.loads(line)["payload"]))


def main(path, digest, file):
    wanted = json.loads(pathlib.Path(file).read_text(encoding="utf-8"))
    for one in statements(pathlib.Path(path).read_text(encoding="utf-8")):
        subjects = {f"{name}:{value}" for subject in one["subject"] for name, value in subject["digest"].items()}
        if digest in subjects and one["predicate"] == wanted:
            return 0
    print(f"no verified statement about {digest} has the bill of materials of {file}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
