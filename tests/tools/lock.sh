#!/usr/bin/env bash
# Resolves the ranges of pyproject.toml into the two hashed locks; neither names a host.
# More options for the resolver come after the command, e.g. `lock.sh --upgrade`.
set -euo pipefail
cd "$(dirname "$0")/../.."

compile() { # FILE OPTION...
    local file=$1
    shift
    .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
        --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
        --output-file "$file" "$@"
    sed -i "1i # Made by 'make lock' from the ranges in pyproject.toml; hashes, and no places." "$file"
}

compile deploy/requirements.txt "$@"
compile tests/requirements.txt --group dev --constraint deploy/requirements.txt "$@"

if grep -nE '://|--(extra-)?index-url|--find-links' deploy/requirements.txt tests/requirements.txt; then
    echo "lock: a lock names a place (above); resolve again without it" >&2
    exit 1
fi
wc -l deploy/requirements.txt tests/requirements.txt
