#!/usr/bin/env bash
# Runs every read-only check, also after one failed, and says which did.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit

PATH=$PWD/.venv/bin:$PATH
failed=()

indent() { printf '    %s\n' "${1//$'\n'/$'\n'    }"; }

check() {
    local name=$1 start=$EPOCHREALTIME output mark=ok
    shift
    output=$("$@" 2>&1) || { mark=FAILED && failed+=("$name"); }
    printf '%-16s %-6s %5.1f s\n' "$name" "$mark" \
        "$(awk "BEGIN { print $EPOCHREALTIME - $start }")"
    if [ "$mark" = FAILED ] || [ "$name" = sizes ]; then indent "$output"; fi
}

check "lint" ruff check --quiet
check "format" ruff format --check --quiet
check "types" mypy
check "import floors" lint-imports
check "sizes" python -m tests.tools.house
check "shell" shellcheck --external-sources .ci/run tests/tools/*.sh

if [ "${#failed[@]}" -gt 0 ]; then
    echo "check: failed: ${failed[*]}" >&2
    exit 1
fi
echo "check: all passed"
