#!/usr/bin/env bash
# Makes sure that the console can be tested in a real browser: Debian's chromium and its driver.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
command -v chromium >/dev/null || missing+=(chromium)
command -v chromedriver >/dev/null || missing+=(chromium-driver)
if [ "${#missing[@]}" -gt 0 ] && ! tests/tools/apt.sh "${missing[@]}" >&2; then
    echo "browser: ${missing[*]} missing here, and could not be installed: install them yourself, or run make as root" >&2
    exit 1
fi
