# Sourced by the scripts beside it: where the project is, and what they all do. Not run by itself.
# shellcheck shell=bash

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

# The virtual environment of build and tests, made by scripts/bootstrap.
# shellcheck disable=SC2034
PYTHON=$ROOT/build/venv/bin/python

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() {
    warn "$*"
    exit 1
}

# The pinned file `$1` was already applied at `$2`.
is_applied() { [ -f "$2" ] && cmp -s "$1" "$2"; }
