#!/usr/bin/env bash
# Makes sure that `rabbitmqadmin` 2 is at hand for the examples of deploy/upstream.md, and prints
# the folder that holds it. It comes with RabbitMQ 4.3, from the folder of rabbitmq_tree.sh.
set -euo pipefail
cd "$(dirname "$0")/../.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/crm-importer
tree=$cache/rabbitmq-4.3
program=$tree/usr/bin/rabbitmqadmin
place=$cache/rabbitmqadmin

[ -x "$program" ] || tests/tools/rabbitmq_tree.sh 4.3 >&2
if [ ! -x "$place/rabbitmqadmin" ]; then
    loaders=("$tree"/lib64/ld-linux-*.so.*)
    libraries=("$tree"/usr/lib/*-linux-gnu)
    mkdir -p "$place"
    fresh=$(mktemp "$place/XXXXXX")
    # It is linked to the libraries of its own folder, which may be newer than this machine's.
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
        "${loaders[0]}" "${libraries[0]}" "$program" >"$fresh"
    chmod 755 "$fresh"
    mv "$fresh" "$place/rabbitmqadmin"
fi
echo "$place"
