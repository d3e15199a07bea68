#!/usr/bin/env bash
# Makes sure that the tests can start a RabbitMQ node of their own; silent when they can.
# RABBITMQ: `host` (default, whatever the system's package brings) or a version in a folder.
set -euo pipefail
cd "$(dirname "$0")/../.."

[ -z "${TEST_RABBIT_URL:-}" ] || exit 0

case ${RABBITMQ:-host} in
host | 3.10) ;;
*) exec tests/tools/rabbitmq_tree.sh "$RABBITMQ" ;;
esac

present() { [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || command -v rabbitmq-server >/dev/null; }

# The package enables its services for the next boot; the tests need none of them.
leave_disabled() {
    command -v systemctl >/dev/null || return 0
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo -n)
    "${root[@]}" systemctl --quiet disable rabbitmq-server.service 2>/dev/null || true
}

present && exit 0
code=0
tests/tools/apt.sh rabbitmq-server || code=$?
if [ "$code" -eq 0 ]; then
    leave_disabled
    exit 0
fi
cat >&2 <<'END'
broker: no rabbitmq-server here, and it could not be installed. Any one of these helps:
  1. install it yourself:          apt-get install rabbitmq-server
  2. let make install it:          run make as root, or with password-less sudo
  3. use a broker you have:        TEST_RABBIT_URL=amqp://user:password@host:5672/ make ...
END
exit 1
