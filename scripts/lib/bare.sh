# Sourced by the tests that want a bare Debian 12: makes one with debootstrap in $system, and lets its package clients
# reach what this machine's reach. Wants $system, $logs, $base (an archive that is kept between runs) and
# $base_packages, and for block() $document. Not run by itself.
# shellcheck shell=bash disable=SC2154

passed=0
failed=0
finish() {
    say "$passed passed, $failed failed, ${1:-0} skipped"
    [ "$failed" -eq 0 ]
    exit
}
skip() {
    say "skipped: $*"
    finish 1
}

# The mirror and the keyring of this machine's own sources, for debootstrap.
mirror() {
    local uri
    uri=$(sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*debian\/\{0,1\}\)\([[:space:]].*\)\{0,1\}$/\1/p' \
        /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
    [ -n "$uri" ] || uri=$(sed -n 's/^deb[[:space:]]\+\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*debian\/\{0,1\}\)[[:space:]].*/\2/p' \
        /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | head -n 1)
    say "${uri:-http://deb.debian.org/debian}"
}

# Makes the files of $system anew, from the archive of an earlier run where there is one.
make_tree() {
    rm -rf "$system"
    mkdir -p "$system"
    if [ ! -f "$base" ]; then
        command -v debootstrap >/dev/null ||
            { apt-get install -y --no-install-recommends debootstrap >"$logs/debootstrap.log" 2>&1 </dev/null || return 1; }
        debootstrap --variant=minbase --include="$base_packages" bookworm "$system" "$(mirror)" \
            >"$logs/debootstrap.log" 2>&1 </dev/null || return 1
        tar -C "$system" --one-file-system -cf "$base.part" . && mv "$base.part" "$base"
    else
        tar -C "$system" -xf "$base"
    fi
}

# The same, to be entered.
make_system() {
    make_tree && mount -t proc proc "$system/proc" && mount --rbind /dev "$system/dev"
}

# Copies a file or folder of this machine to the same place of the system.
copy_in() {
    local path
    for path in "$@"; do
        [ -e "$path" ] || continue
        mkdir -p "$system$(dirname "$path")"
        cp -RL "$path" "$system$(dirname "$path")/" 2>/dev/null || true
    done
}

# How this machine reaches its package registries: nothing is known of it here, it is copied as it is.
copy_settings() {
    local file
    copy_in /etc/resolv.conf /etc/hosts
    rm -f "$system"/etc/apt/sources.list "$system"/etc/apt/sources.list.d/*
    copy_in /etc/apt/sources.list /etc/apt/auth.conf /etc/apt/auth.conf.d /etc/apt/keyrings /etc/apt/trusted.gpg.d \
        /usr/share/keyrings /etc/apt/apt.conf
    for file in /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        copy_in "$file"
    done
    for file in /etc/apt/apt.conf.d/*; do
        if grep -q 'Acquire' "$file" 2>/dev/null; then copy_in "$file"; fi
    done
    copy_in /usr/local/share/ca-certificates
    chroot "$system" update-ca-certificates >/dev/null 2>&1 || true
    copy_in /etc/ssl/certs
    copy_in /etc/pip.conf /etc/npmrc
    for file in .pip .config/pip .npmrc .config/go/env; do
        [ -e "$HOME/$file" ] || continue
        mkdir -p "$system/root/$(dirname "$file")"
        cp -RL "$HOME/$file" "$system/root/$(dirname "$file")/"
    done
    command -v npm >/dev/null && copy_in "$(npm config get globalconfig 2>/dev/null || true)"
    return 0
}

# The block of a document ($document) that is called so: "```sh NAME".
block() {
    awk -v name="$1" '$0 == "```sh " name { on = 1; next } /^```/ { on = 0 } on' "$document"
}

# The variables by which clients are told of proxies, indexes and certificates; files they name come along.
inner_environment=()
collect_environment() {
    local name value
    inner_environment=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
    while IFS= read -r name; do
        value=${!name}
        inner_environment+=("$name=$value")
        case $value in
        /*) if [ -f "$value" ] && [ ! -e "$system$value" ]; then copy_in "$value"; fi ;;
        esac
    done < <(compgen -e | grep -Ei '^(https?_proxy|ftp_proxy|all_proxy|no_proxy|pip_.*|npm_config_.*|go(proxy|sumdb|nosumdb|noproxy|private|flags|insecure)|ssl_cert_(file|dir)|requests_ca_bundle|curl_ca_bundle|node_extra_ca_certs|git_ssl_cainfo)$')
    # A folder of wheels that pip was told of.
    if [ -d "${PIP_FIND_LINKS:-}" ]; then copy_in "$PIP_FIND_LINKS"; fi
}

# ---- Steps that are counted ----

# step NAME COMMAND…: counts it, and prints the end of its log where it fails.
step() {
    local name=$1 log=$logs/$1.log started=$SECONDS
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        say "ok    $name, $((SECONDS - started)) s"
        return 0
    fi
    failed=$((failed + 1))
    say "FAIL  $name, $((SECONDS - started)) s; the end of $log:"
    tail -n 60 "$log" | sed 's/^/      /'
    return 1
}
