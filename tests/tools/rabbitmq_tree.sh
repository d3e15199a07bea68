#!/usr/bin/env bash
# rabbitmq_tree.sh VERSION: builds a folder with RabbitMQ 4.0 or 4.3 and everything below it.
# Silent when the folder is there. Needs root, apt and a Debian mirror (MIRROR=... names one).
set -euo pipefail
cd "$(dirname "$0")/../.."

version=${1:?which version: 4.0 or 4.3}
tree=${XDG_CACHE_HOME:-$HOME/.cache}/crm-importer/rabbitmq-$version
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
scripts=/usr/share/debootstrap/scripts

fail() {
    echo "broker: $*" >&2
    exit 1
}

case $version in
4.0) suite=trixie ;;
4.3) suite=forky ;;
*) fail "RABBITMQ=$version is not known; choose host, 4.0 or 4.3" ;;
esac

[ ! -x "$tree/usr/lib/rabbitmq/bin/rabbitmq-server" ] || exit 0
[ "$(id -u)" -eq 0 ] || fail "RabbitMQ $version lives in a folder of its own, and only root can make one"

mirror() { # of the machine's own lists
    # shellcheck disable=SC2016  # apt expands it
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' |
        grep '/debian/*$' | head -n 1
}

command -v debootstrap >/dev/null || tests/tools/apt.sh debootstrap
MIRROR=${MIRROR:-$(mirror)} || fail "no Debian mirror in apt's lists; name one with MIRROR=..."
[ -e "$keyring" ] || tests/tools/apt.sh debian-archive-keyring

# Suites newer than this debootstrap are made by the script of the rolling one.
script=$scripts/$suite
[ -e "$script" ] || script=$scripts/sid

mkdir -p "$(dirname "$tree")"
partial=$(mktemp -d "$tree.XXXXXX")
trap 'rm -rf "$partial"' EXIT
log=$tree.log

echo "broker: building RabbitMQ $version in $tree (once, about a minute)"
debootstrap --variant=minbase --include=rabbitmq-server --keyring="$keyring" \
    "$suite" "$partial" "$MIRROR" "$script" >"$log" 2>&1 || {
    tail -n 15 "$log" >&2
    fail "the folder for RabbitMQ $version could not be built; see $log"
}
rm -rf "$partial"/var/cache/apt/archives/*.deb "$partial"/var/lib/apt/lists/*
[ -s "$partial/etc/hosts" ] || printf '127.0.0.1 localhost\n' >"$partial/etc/hosts"
chmod 755 "$partial"
mv "$partial" "$tree"
echo "broker: RabbitMQ $version is ready after $SECONDS s"
