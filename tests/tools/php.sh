#!/usr/bin/env bash
# Makes sure that the tests can ask PHP how it reads a value; silent when they can.
set -euo pipefail
cd "$(dirname "$0")/../.."

command -v php >/dev/null && exit 0
tests/tools/apt.sh php-cli && exit 0
cat >&2 <<END
php: missing here, and could not be installed. Either of these helps:
  1. install it yourself:          apt-get install php-cli
  2. let make install it:          run make as root, or with password-less sudo
END
exit 1
