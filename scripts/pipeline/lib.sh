# Sourced by the stages of a service's pipeline, which `make pipe-STAGE SERVICE=…` calls: what they all do. Not run by itself.
# shellcheck shell=bash
# shellcheck disable=SC2034 # the stages use what stands here

# shellcheck source=../common.sh
source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

SERVICE=${SERVICE:-}
case $SERVICE in
users | products | orders | gateway) IMAGE=$SERVICE-service ;;
duka) IMAGE=duka ;;
*) die "SERVICE says whose pipeline this is: users, products, orders, gateway or duka, not \"$SERVICE\"" ;;
esac

# What a stage leaves for later ones: the digest, the bill of materials, the signature.
OUT=$ROOT/build/pipeline/$SERVICE
mkdir -p "$OUT"
# Where scripts/pipeline-tools puts what the machine has not.
PATH=$PATH:$ROOT/build/tools

# The last line of a stage says what it counts; one that could not do its work is skipped, and never passed.
passed() {
    say "$*"
    say "counts: passed=1 failed=0 skipped=0"
}
skipped() {
    say "SKIPPED: $*"
    say "counts: passed=0 failed=0 skipped=1"
    exit 0
}

# The commit that a change is compared with: BASE, as the pipelines give it, or what the service shipped last. Empty: there is none.
base_commit() {
    local base=${BASE:-}
    if [ -z "$base" ]; then
        base=$(gitops commit dev "$SERVICE")
    fi
    case $base in
    "" | *[!0]*) ;;
    *) base= ;; # forty zeros: a new branch
    esac
    if [ -n "$base" ]; then
        # Of a branch: where it left the base, whatever the base has got since then.
        git merge-base "$base" HEAD 2>/dev/null ||
            die "The commit $base is not in this clone: fetch more of the history (no shallow clone), or give BASE."
    fi
}

# What an earlier stage wrote into $OUT, or a word that says which stage that is.
written() {
    [ -s "$OUT/$1" ] || die "There is no build/pipeline/$SERVICE/$1 yet: run \`make pipe-$2 SERVICE=$SERVICE\` first."
    cat "$OUT/$1"
}

# The program that builds and pushes images: docker where its daemon answers, or podman (as scripts/images chooses).
engine() {
    if [ -n "${ENGINE:-}" ]; then
        echo "$ENGINE"
    elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
        echo docker
    elif command -v podman >/dev/null; then
        echo podman
    else
        die "Neither docker nor podman is here: install one of them."
    fi
}

# Lets PROGRAM (docker, podman, cosign) into the registry of IMAGE, where REGISTRY_USER and REGISTRY_PASSWORD are set, until the stage ends;
# without them, it is whoever the machine has logged in.
log_in() {
    [ -n "${REGISTRY_USER:-}" ] || return 0
    local program=$1 host=${2%%/*} folder
    if [ "$program" = docker ]; then # its configuration has more in it than who is logged in
        # shellcheck disable=SC2064 # the host of now
        trap "docker logout '$host' >/dev/null" EXIT
    else
        folder=$(mktemp -d)
        # shellcheck disable=SC2064 # the folder of now
        trap "rm -rf '$folder'" EXIT
        export DOCKER_CONFIG=$folder REGISTRY_AUTH_FILE=$folder/config.json
    fi
    printf '%s' "${REGISTRY_PASSWORD:?}" | "$program" login --username "$REGISTRY_USER" --password-stdin "$host"
}

# Whether NAME@DIGEST is in a registry: without one, an image is called localhost/NAME.
is_pushed() { [[ $1 != localhost/* ]]; }

# git, for the remote of deploy/gitops.
remote_git() {
    if [ -n "${GITOPS_PASSWORD:-}" ]; then
        # shellcheck disable=SC2016 # git's shell expands it
        git -c credential.helper= -c \
            credential.helper='!f() { echo "username=${GITOPS_USER:-pipeline}"; echo "password=$GITOPS_PASSWORD"; }; f' "$@"
    else
        git "$@"
    fi
}

# Runs COMMAND… where deploy/gitops is to be written, and commits with MESSAGE what it changed there. With GITOPS_REMOTE (say, origin) that
# is a fresh tree of the remote's branch GITOPS_BRANCH (main), pushed as branch PUSH_BRANCH, and written again on what others pushed
# meanwhile; without, it is this tree, and the commit is left to you. A remote that wants to know who writes is told by GITOPS_USER and
# GITOPS_PASSWORD, in no command line and no file. WRITTEN is empty where there was nothing to change. PUSH_BRANCH is the pipeline's own: what
# an earlier run of the stage left there is replaced.
write_gitops() {
    local message=$1 branch=${PUSH_BRANCH:-${GITOPS_BRANCH:-main}} tree=$OUT/gitops force=${PUSH_BRANCH:++} try
    shift
    WRITTEN=
    if [ -z "${GITOPS_REMOTE:-}" ]; then
        GITOPS_ROOT=$ROOT "$@"
        WRITTEN=here
        say "deploy/gitops is written in this tree; GITOPS_REMOTE is not set: commit and push it yourself. It would be: $message"
        return 0
    fi
    for try in 1 2 3 4 5; do
        remote_git fetch --quiet "$GITOPS_REMOTE" "${GITOPS_BRANCH:-main}"
        rm -rf "$tree"
        git worktree prune
        git worktree add --quiet --force --detach "$tree" FETCH_HEAD
        GITOPS_ROOT=$tree "$@"
        if git -C "$tree" diff --quiet -- deploy/gitops; then
            say "deploy/gitops says so already: nothing to commit."
            return 0
        fi
        git -C "$tree" -c user.name="${GIT_NAME:-duka pipeline}" -c user.email="${GIT_EMAIL:-pipeline@localhost}" \
            commit --quiet --message "$message" -- deploy/gitops
        if remote_git -C "$tree" push --quiet "$GITOPS_REMOTE" "${force}HEAD:refs/heads/$branch"; then
            WRITTEN=$branch
            say "pushed to $branch: $message"
            return 0
        fi
        warn "$branch moved on meanwhile (try $try)"
        sleep $((try * 2))
    done
    die "$branch could not be pushed: others push all the time, or this account may not."
}

gitops() { /usr/bin/python3 -B scripts/pipeline/gitops.py "$@"; }
