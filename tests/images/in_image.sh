#!/usr/bin/env bash
# Runs the image of a program where a test would run the program, by whose name it is called: with the same settings, on the host's
# network, and with the folder of the test's data as all that it may write.
set -euo pipefail
program=$(basename "$0")
case $program in
duka) image=duka ;;
*) image=${program#duka-}-service ;;
esac

# Of a shop that runs apart the databases lie beside each other, one floor up.
folder=$DATA_DIR
case ${DATABASE_URL_USERS:-} in sqlite:*) folder=$(dirname "${DATABASE_URL_USERS#sqlite:}") ;; esac
mkdir -p "$DATA_DIR"
chown -R 65532:65532 "$folder"

options=()
while IFS= read -r name; do
    case $name in PATH | HOME | TMPDIR | LANG | PWD | OLDPWD | SHLVL | _ | CONTAINERS_* | *SAN_OPTIONS) continue ;; esac
    options+=(--env "$name")
done < <(compgen -e)
# shellcheck disable=SC1091
. "$(dirname "$0")/engine.env" # where the images are: a program under test is given its settings and nothing else
exec podman run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --network host --log-driver none \
    --volume "$folder:$folder" "${options[@]}" "${DUKA_IMAGE_HOST:-localhost}/$image:1.0" "$@"
