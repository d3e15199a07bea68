#!/usr/bin/env bash
# apt.sh PACKAGE...: installs Debian packages without starting what they bring.
# Exit 3: not possible here (no apt, or neither root nor password-less sudo).
set -euo pipefail

command -v apt-get >/dev/null || exit 3
root=(env DEBIAN_FRONTEND=noninteractive)
if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || exit 3
    root=(sudo -n "${root[@]}")
fi

policy=/usr/sbin/policy-rc.d
log=$(mktemp)
placed=

restore() {
    rm -f "$log"
    [ -n "$placed" ] || return 0
    "${root[@]}" rm -f "$policy"
    if [ -e "$policy.before" ]; then "${root[@]}" mv "$policy.before" "$policy"; fi
}
trap restore EXIT
trap 'exit 130' INT TERM

denies_starts() {
    [ -x "$policy" ] || return 1
    local code=0
    "$policy" "$1" start >/dev/null 2>&1 || code=$?
    [ "$code" -eq 101 ]
}

# Packages ask this file before they start a service: ours says no, and goes away afterwards.
if ! denies_starts "$1"; then
    placed=yes
    if [ -e "$policy" ]; then "${root[@]}" mv "$policy" "$policy.before"; fi
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
    "${root[@]}" chmod 755 "$policy"
fi

apt() {
    "${root[@]}" apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120 "$@" >>"$log" 2>&1
}

echo "packages: installing $*"
if ! { apt update && apt install --yes --no-install-recommends "$@"; }; then
    tail -n 20 "$log" >&2
    echo "packages: apt could not install $*; its last words are above" >&2
    exit 1
fi
