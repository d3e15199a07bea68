#!/usr/bin/env bash
# Makes sure that the tests can ask PHP how it reads a value, and run the PHP examples of
# deploy/upstream.md; silent when they can.
set -euo pipefail
cd "$(dirname "$0")/../.."

present() {
    command -v php >/dev/null && php -r '
        exit((int) !(extension_loaded("pdo_sqlite")
            && stream_resolve_include_path("PhpAmqpLib/autoload.php")));'
}

present && exit 0
tests/tools/apt.sh php-cli php-sqlite3 php-amqplib && exit 0
cat >&2 <<END
php: it, php-sqlite3 or php-amqplib is missing here, and could not be installed. Either of these helps:
  1. install them yourself:        apt-get install php-cli php-sqlite3 php-amqplib
  2. let make install them:        run make as root, or with password-less sudo
END
exit 1
