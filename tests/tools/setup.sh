#!/usr/bin/env bash
# Builds .venv from tests/requirements.txt, every file checked against its hash.
# Quick when nothing changed; PYTHON=... chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock=tests/requirements.txt
stamp=.venv/.stamp

say() { echo "environment: $*"; }
fail() {
    say "$*" >&2
    exit 1
}

new_enough() {
    command -v "$1" >/dev/null &&
        "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 /usr/bin/python3}; do
        if new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    fail "Python 3.11 or newer is needed: install it, or name it with PYTHON=/path/to/python"
}

state() { # what the environment was made from
    sha256sum <"$lock"
    "$1" -c 'import sys; print(sys.version, sys.base_prefix)'
}

make_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null || add_venv_package "$1"
    rm -rf .venv
    "$1" -m venv .venv
}

add_venv_package() {
    local package
    package=python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    tests/tools/apt.sh "$package" ||
        fail "Python's venv module is missing: install the package $package (with rights to do so, make does it)"
    "$1" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$1 cannot make environments (no ensurepip): name another with PYTHON=/path/to/python"
}

# Reads pip's lines; prints the count of packages, in place on a terminal, else a few lines.
progress() {
    local line count=0
    while IFS= read -r line; do
        echo "$line" >>.venv/setup.log
        case $line in
        Collecting* | Processing*)
            count=$((count + 1))
            if [ -t 1 ]; then
                printf '\renvironment: fetching %d of at most %d packages' "$count" "$1"
            elif [ $((count % 20)) -eq 0 ]; then
                say "fetching $count of at most $1 packages"
            fi
            ;;
        Installing*)
            if [ -t 1 ]; then printf '\r\033[K'; fi
            say "installing $count packages"
            ;;
        esac
    done
}

# A lock is complete: exactly what it lists is installed, and nothing is resolved anew, since
# pip 23 would take a release newer than the lock and then refuse it. `pip check` proves it whole.
install() {
    PIP_DISABLE_PIP_VERSION_CHECK=1 .venv/bin/python -m pip install --no-input --no-compile \
        --no-deps --progress-bar off --require-hashes --requirement "$lock" 2>&1 |
        progress "$(grep -c '^[a-z].*==' "$lock")" || {
        reasons
        fail "the packages could not be installed; pip's reason is above (all it said: .venv/setup.log)"
    }
    .venv/bin/python -m pip --disable-pip-version-check check >>.venv/setup.log 2>&1 || {
        tail -n 15 .venv/setup.log >&2
        fail "the lock is not complete (above): make it anew with 'make lock'"
    }
}

# The errors first; without any, the last lines that are not warnings.
reasons() {
    grep -E '^ *ERROR|^error:' .venv/setup.log >&2 ||
        grep -v '^ *WARNING' .venv/setup.log | tail -n 15 >&2
}

python=$(find_python)
if [ -e "$stamp" ] && [ "$(state "$python")" = "$(cat "$stamp")" ]; then
    touch "$stamp"
    exit 0
fi
say "building .venv with $("$python" --version)"
make_venv "$python"
install
state "$python" >"$stamp"
say "ready after $SECONDS s"
