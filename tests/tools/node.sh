#!/usr/bin/env bash
# Makes sure that the examples of deploy/upstream.md can run: node, curl, and the locked client
# library in a folder of its own, whose place is printed.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v curl >/dev/null || missing+=(curl)
if [ "${#missing[@]}" -gt 0 ] && ! tests/tools/apt.sh "${missing[@]}" >&2; then
    echo "examples: ${missing[*]} missing here, and could not be installed: install them yourself, or run make as root" >&2
    exit 1
fi

lock=tests/e2e/node/package-lock.json
place=${XDG_CACHE_HOME:-$HOME/.cache}/crm-importer/node-$(sha256sum "$lock" | cut -c1-16)
if [ ! -d "$place/node_modules" ]; then
    fresh=$(mktemp -d "${TMPDIR:-/tmp}/crm-importer-node-XXXXXX")
    cp tests/e2e/node/package.json "$lock" "$fresh"
    npm ci --prefix "$fresh" --silent --no-audit --no-fund --ignore-scripts >&2
    mkdir -p "$(dirname "$place")"
    mv -T "$fresh" "$place" 2>/dev/null || rm -rf "$fresh"
fi
echo "$place"
