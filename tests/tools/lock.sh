#!/usr/bin/env bash
# Resolves the ranges of pyproject.toml into hashed locks, for the service, its tests, the peers of
# the bench, and the audit; none names a host. Then writes down what each locked package requires, so that
# a test can tell without a network whether a lock is complete.
# More options for the resolver come after the command, e.g. `lock.sh --upgrade`.
set -euo pipefail
cd "$(dirname "$0")/../.."

compile() { # SOURCE FILE OPTION...
    local source=$1 file=$2
    shift 2
    .venv/bin/uv pip compile "$source" --quiet --universal --python-version 3.11 \
        --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
        --output-file "$file" "$@"
    sed -i "1i # Made by 'make lock' from $source; hashes, and no places." "$file"
}

locks=(
    deploy/requirements.txt deploy/requirements-tracing.txt
    tests/requirements.txt tests/benchmarks/requirements.txt tests/audit/requirements.txt
)
# The image has the console: it costs a few MB.
compile pyproject.toml "${locks[0]}" --extra console "$@"
compile pyproject.toml "${locks[1]}" --extra console --extra tracing --constraint "${locks[0]}" "$@"
compile pyproject.toml "${locks[2]}" --extra console --extra tracing --group dev --constraint "${locks[1]}" "$@"
compile tests/benchmarks/requirements.in "${locks[3]}" --constraint "${locks[0]}" "$@"
compile tests/audit/requirements.in "${locks[4]}" --constraint "${locks[2]}" "$@"

if grep -nE '://|--(extra-)?index-url|--find-links' "${locks[@]}"; then
    echo "lock: a lock names a place (above); resolve again without it" >&2
    exit 1
fi
.venv/bin/python -m tests.tools.locks
wc -l "${locks[@]}"
