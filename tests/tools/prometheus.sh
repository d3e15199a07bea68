#!/usr/bin/env bash
# Makes sure that the tests of alerts and dashboard can start Prometheus and Alertmanager of their
# own; silent when they can. The packages' services are not started, now or at the next boot.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
command -v prometheus >/dev/null && command -v promtool >/dev/null || missing+=(prometheus)
command -v prometheus-alertmanager >/dev/null || missing+=(prometheus-alertmanager)
[ "${#missing[@]}" -gt 0 ] || exit 0

leave_disabled() {
    command -v systemctl >/dev/null || return 0
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo -n)
    "${root[@]}" systemctl --quiet disable "${missing[@]/%/.service}" 2>/dev/null || true
}

# From Debian 13 on, promtool is a package of its own.
wanted=("${missing[@]}")
if ! command -v promtool >/dev/null && apt-cache show promtool >/dev/null 2>&1; then
    wanted+=(promtool)
fi
code=0
tests/tools/apt.sh "${wanted[@]}" || code=$?
if [ "$code" -eq 0 ]; then
    leave_disabled
    exit 0
fi
cat >&2 <<END
monitoring: ${missing[*]} missing here, and could not be installed. Either of these helps:
  1. install it yourself:          apt-get install ${missing[*]}
  2. let make install it:          run make as root, or with password-less sudo
END
exit 1
