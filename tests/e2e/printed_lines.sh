#!/usr/bin/env bash
# Runs the lines that `make run` printed, as they were printed: twice in one shell and once more in a new
# one, and looks at what came back. The shop must be running.
#
#   printed_lines.sh first LOG     LOG is what the first `make run` printed
#   printed_lines.sh again LOG     LOG is what `make run` printed after a restart: what the first phase
#                                  left must be there
#
# The last line is "counts: passed=… failed=… skipped=…". Notes for the second phase lie beside LOG.
set -u
phase=${1:-}
log=${2:-}
case $phase in first | again) ;; *) echo "usage: printed_lines.sh first|again LOG" >&2 && exit 2 ;; esac
root=$(cd "$(dirname "$0")/../.." && pwd)
notes=$(dirname "$log")/printed-lines.notes
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

passed=0
failed=0
# check WORDS COMMAND…: one test.
check() {
    local words=$1
    shift
    if "$@" >"$scratch/why" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $words"
    else
        failed=$((failed + 1))
        echo "FAIL  $words"
        sed 's/^/      /' "$scratch/why"
    fi
}

# The shop is ready before they are printed: the demo catalog is loaded in between.
waited=0
until [ "$(grep -c '^# ---- to here' "$log")" -ge 2 ] || [ "$waited" -ge 600 ]; do
    waited=$((waited + 1))
    sleep 0.1
done

# The lines, both blocks, from the paste marks on.
sed -n '/^# ---- .*paste from here/,/^# ---- to here/p' "$log" >"$scratch/lines"
password=$(sed -n 's/^    password  *//p' "$log")

has_lines() { [ "$(grep -c '^# ---- ' "$scratch/lines")" -eq 4 ] || { cat "$log" && false; }; }
check "make run printed two blocks of lines" has_lines
if [ "$phase" = first ]; then
    check "the first start shows a password" test "${#password}" -ge 15
    shows_once() { [ "$(grep -c '^    password ' "$log")" -eq 1 ]; }
    check "it is marked, once" shows_once
else
    check "a later start shows no password" test -z "$password"
    check "it says how a lost one is mended" \
        grep -q '^    .*dukactl users password staff@duka.example$' "$log"
    # Mended as it says, then given to the lines as they ask for it.
    password="mended-$(date +%s%N)-$$"
    mend() (
        # Of a shop that runs apart it is the socket of Users that answers, as the words above say.
        users=${DATA_DIR:-./data}
        [ "${SHAPE:-}" != apart ] || users=$users/users
        cd "$root" && DATA_DIR=$users build/release/src/apps/dukactl users password staff@duka.example \
            --password-stdin <<<"$password"
    )
    check "the password is mended" mend
    export STAFF_PASSWORD=$password
fi

# They need only sh, curl and what POSIX has: nothing else is to be found.
mkdir "$scratch/bin"
for tool in sh curl cat cut date grep head sed tail tr; do
    ln -s "$(command -v "$tool")" "$scratch/bin/$tool"
done
# Pasting: a shell that reads its commands from stdin, as a terminal gives them.
paste_into_sh() { PATH=$scratch/bin "$scratch/bin/sh"; }
cat "$scratch/lines" "$scratch/lines" >"$scratch/pasted"
paste_into_sh <"$scratch/pasted" >"$scratch/out.1" 2>"$scratch/err.1"
paste_into_sh <"$scratch/lines" >"$scratch/out.2" 2>"$scratch/err.2"
cat "$scratch/out.1" "$scratch/out.2" >"$scratch/out"

count() { grep -cE -- "$1" "$scratch/out"; }
# times N WORDS PATTERN: the pattern comes N times among the answers.
times() {
    local found
    found=$(count "$3")
    check "$2 ($1 times)" test "$found" -eq "$1"
    [ "$found" -eq "$1" ] || sed 's/^/      | /' "$scratch/out" | cut -c 1-400
}
silent() { ! grep . "$scratch/err.1" "$scratch/err.2"; }
check "sh and curl are enough, and had nothing to complain of" silent
times 0 "nothing was refused" '"code":"|"status":[45][0-9][0-9]'
times 3 "a customer registered" '"email":"amina-'
times 6 "products were listed and found" '"items":\[\{"id":"[^"]*","handle":'
times 6 "an order was placed and read back, confirmed" \
    '^\{"id":"[^"]*","customer_id".*"status":"confirmed".*"fulfilment_status":"none"'
times 3 "its timeline was told" '"what":"placed".*"what":"confirmed"'
times 3 "the catalog was imported" '"status":"(waiting|running|done)","bytes"'
times 3 "stock came in" '"sku":"[^"]*","on_hand"'
times 3 "the order was shipped" '"fulfilment_status":"fulfilled"'

if [ "$phase" = first ]; then
    # A customer's e-mail and order, to be found again.
    sed -n 's/.*"email":"\(amina-[^"]*\)".*/\1/p' "$scratch/out" | head -n 1 >"$notes"
    sed -n 's/^{"id":"\([^"]*\)","customer_id".*/\1/p' "$scratch/out" | head -n 1 >>"$notes"
else
    shop=$(sed -n 's/^SHOP=//p' "$scratch/lines" | head -n 1)
    token=$(curl -sS "$shop/users/login" -H 'Content-Type: application/json' \
        -d "{\"email\":\"$(sed -n 1p "$notes")\",\"password\":\"correct horse battery\"}" |
        sed 's/.*"access_token":"\([^"]*\)".*/\1/')
    still_there() {
        curl -sS "$shop/orders/$(sed -n 2p "$notes")" -H "Authorization: Bearer $token" |
            grep -F '"fulfilment_status":"fulfilled"'
    }
    check "an order from before the restart is still there" still_there
fi

echo "counts: passed=$passed failed=$failed skipped=0"
[ "$failed" -eq 0 ]
