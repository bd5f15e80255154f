# Sourced by what asks Debian's archive for source packages: lists of its own in $lists, by the mirrors that this machine's apt
# knows. Not run by itself.
# shellcheck shell=bash disable=SC2034,SC2154

apt_options=(
    -o Dir::Etc::SourceList="$lists/none.list" -o Dir::Etc::SourceParts="$lists/parts" -o Dir::State::Lists="$lists/lists"
    -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root -o Acquire::Retries=3 -q
)

# Fetches the lists of source packages.
update_sources() {
    local file
    mkdir -p "$lists/parts" "$lists/lists/partial"
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        sed 's/^Types:.*/Types: deb-src/' "$file" >"$lists/parts/$(basename "$file")"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        sed -n 's/^deb[[:space:]]/deb-src /p' "$file" >"$lists/parts/$(basename "$file" .list).list"
    done
    apt-get "${apt_options[@]}" update
}
