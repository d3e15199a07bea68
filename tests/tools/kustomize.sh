#!/usr/bin/env bash
# kustomize.sh [--find]: prints the command that renders a folder of manifests.
# Without --find it fetches one when none is here: Debian 13's kustomize, into a folder of its own.
# Exit 3 with --find: none here. Needs apt-get and a Debian mirror (MIRROR=... names one), no root.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/crm-importer
tree=$cache/kustomize
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
    echo "kustomize: $*" >&2
    exit 1
}

# An old kubectl knows neither components nor labels: whoever renders this renders our manifests,
# and a mistake in those does not look like a missing tool.
sample=$(mktemp -d)
partial=
trap 'rm -rf "$sample" "$partial"' EXIT
mkdir "$sample/part"
printf '%s\n' 'apiVersion: kustomize.config.k8s.io/v1alpha1' 'kind: Component' \
    'labels: [{pairs: {works: "yes"}, includeSelectors: true}]' >"$sample/part/kustomization.yaml"
printf '%s\n' 'components: [part]' 'configMapGenerator: [{name: sample, literals: [a=b]}]' \
    >"$sample/kustomization.yaml"

works() { "$@" "$sample" 2>/dev/null | grep -q 'works: "yes"'; }

find_one() {
    if works kubectl kustomize; then
        echo "kubectl kustomize"
    elif works kustomize build; then
        echo "kustomize build"
    elif works "$tree/usr/bin/kustomize" build; then
        echo "$tree/usr/bin/kustomize build"
    else
        return 3
    fi
}

find_one && exit 0
[ "${1:-}" != --find ] || exit 3

mirror() { # of the machine's own lists
    # shellcheck disable=SC2016  # apt expands it
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' |
        grep '/debian/*$' | head -n 1
}

command -v apt-get >/dev/null || fail "no kubectl, no kustomize, and no apt-get to fetch it: install one of them"
[ -e "$keyring" ] || tests/tools/apt.sh debian-archive-keyring >&2
MIRROR=${MIRROR:-$(mirror)} || fail "no Debian mirror in apt's lists; name one with MIRROR=..."

mkdir -p "$cache"
partial=$(mktemp -d "$cache/kustomize.XXXXXX")
log=$cache/kustomize.log

# An apt of its own: nothing of the machine is read but its proxies, nothing is changed.
mkdir -p "$partial"/apt/{lists,archives}
: >"$partial/apt/status"
echo "deb [signed-by=$keyring] $MIRROR trixie main" >"$partial/apt/sources.list"
apt() {
    apt-get -qq -o APT::Sandbox::User="" -o Acquire::Languages=none \
        -o Dir::Etc::SourceList="$partial/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
        -o Dir::State="$partial/apt" -o Dir::State::Status="$partial/apt/status" \
        -o Dir::Cache="$partial/apt" "$@" >>"$log" 2>&1
}

echo "kustomize: fetching it into $tree (once)" >&2
: >"$log"
if ! { apt update && cd "$partial" && apt download kustomize; }; then
    tail -n 15 "$log" >&2
    fail "it could not be fetched; apt's last words are above"
fi
dpkg-deb -x "$partial"/kustomize_*.deb "$partial/root"
rm -rf "$tree"
mv "$partial/root" "$tree"
cd "$OLDPWD"
find_one || fail "what was fetched does not work; see $log"
