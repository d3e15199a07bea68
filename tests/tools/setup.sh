#!/usr/bin/env bash
# Builds an environment from a lock, every file checked against its hash:
#   setup.sh [LOCK FOLDER]    as a rule tests/requirements.txt into .venv
# Quick when nothing changed; PYTHON=... chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/../.."

lock=${1:-tests/requirements.txt}
folder=${2:-.venv}
stamp=$folder/.stamp
log=$folder/setup.log
# Whoever has pip install for himself everywhere: not into this environment.
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

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
    rm -rf "$folder"
    "$1" -m venv "$folder"
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
        echo "$line" >>"$log"
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
    pip install --no-input --no-compile --no-deps --progress-bar off \
        --require-hashes --requirement "$lock" 2>&1 |
        progress "$(grep -c '^[a-z].*==' "$lock")" || {
        reasons
        fail "the packages could not be installed; pip's reason is above (all it said: $log)"
    }
    pip check >>"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        fail "the lock is not complete (above): make it anew with 'make lock'"
    }
}

pip() { "$folder/bin/python" -m pip "$@"; }

# The errors first, each with the indented lines that name the package, and what kept pip from
# reaching an index, which it calls a warning; without any error the last lines that are not warnings.
reasons() {
    local errors
    errors=$(awk '/^ *ERROR|^error:/ { shown = 1; print; next }
        /^ *WARNING|^[^ ]/ { shown = 0 } shown' "$log")
    if [ -n "$errors" ]; then
        echo "$errors" >&2
        grep -m 1 -E '^ *WARNING: (Retrying|Could not fetch)' "$log" >&2 || true
    else
        grep -v '^ *WARNING' "$log" | tail -n 15 >&2
    fi
}

python=$(find_python)
if [ -e "$stamp" ] && [ "$(state "$python")" = "$(cat "$stamp")" ]; then
    touch "$stamp"
    exit 0
fi
say "building $folder with $("$python" --version)"
make_venv "$python"
install
state "$python" >"$stamp"
say "ready after $SECONDS s"
