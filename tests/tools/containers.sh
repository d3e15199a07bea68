#!/usr/bin/env bash
# Makes sure that `make deploy-test` can build and run containers; silent when it can.
# The programs are Debian's. No registry is asked: Debian 13 stands in for the base image of the
# Dockerfile, and its packages of RabbitMQ and Prometheus for their images. All of it lies in a
# storage of its own. Needs root, apt and a Debian mirror (MIRROR=... names one).
set -euo pipefail
cd "$(dirname "$0")/../.."

home=${XDG_CACHE_HOME:-$HOME/.cache}/crm-importer/containers
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
suite=trixie
packages=(
    buildah podman runc catatonit netavark aardvark-dns iptables iproute2 mmdebstrap
)
standins=(
    docker.io/library/python:3.13-slim-trixie
    docker.io/library/rabbitmq:4.0.5-management
    docker.io/prom/prometheus:v2.53.3
    docker.io/prom/alertmanager:v0.28.1
)

fail() {
    echo "containers: $*" >&2
    exit 1
}

missing=()
for package in "${packages[@]}"; do
    dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null |
        grep -q 'ok installed' || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    tests/tools/apt.sh "${missing[@]}" ||
        fail "install these yourself, or run make as root: ${missing[*]}"
fi
[ "$(id -u)" -eq 0 ] || fail "the tests limit memory and cut networks, which only root can: run make as root"

# A storage of its own, and nothing of the machine's is touched.
mkdir -p "$home"
cat >"$home/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "/run/crm-importer-containers/libpod"
[network]
network_backend = "netavark"
network_config_dir = "$home/networks"
END
cat >"$home/storage.conf" <<END
[storage]
driver = "overlay"
graphroot = "$home/storage"
runroot = "/run/crm-importer-containers/run"
END
export CONTAINERS_CONF=$home/containers.conf CONTAINERS_STORAGE_CONF=$home/storage.conf
export BUILDAH_ISOLATION=chroot

absent=()
for image in "${standins[@]}"; do
    buildah inspect --type image "$image" >/dev/null 2>&1 || absent+=("$image")
done
[ "${#absent[@]}" -gt 0 ] || exit 0

mirror() { # of the machine's own lists
    # shellcheck disable=SC2016  # apt expands it
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' |
        grep '/debian/*$' | head -n 1
}
MIRROR=${MIRROR:-$(mirror)} || fail "no Debian mirror in apt's lists; name one with MIRROR=..."
[ -e "$keyring" ] || tests/tools/apt.sh debian-archive-keyring

log=$home/standins.log
: >"$log"
partial=$(mktemp -d)
container=
tidy() {
    local code=$?
    rm -rf "$partial"
    [ -z "$container" ] || buildah rm "$container" >/dev/null 2>&1 || true
    [ "$code" -ne 0 ] || return 0
    tail -n 15 "$log" >&2
    echo "containers: a stand-in could not be built; the last words are above, all are in $log" >&2
}
trap tidy EXIT

inside() { buildah run "$container" -- "$@" >>"$log" 2>&1; }

# root_of PACKAGES: a container with nothing but Debian and these.
root_of() {
    mmdebstrap --variant=minbase --keyring="$keyring" --include="$1" \
        "$suite" "$partial/root.tar" "$MIRROR" >>"$log" 2>&1
    container=$(buildah from scratch)
    buildah add --quiet "$container" "$partial/root.tar" / >>"$log"
    buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$container"
    rm "$partial/root.tar"
}

commit() { # IMAGE
    buildah commit --quiet "$container" "$1" >>"$log"
    buildah rm "$container" >>"$log"
    container=
}

build() { # IMAGE: used as its namesake is, made otherwise
    case $1 in
    *python*)
        root_of ca-certificates,python3,python3-venv,python3-pip
        inside ln -s /usr/bin/python3 /usr/local/bin/python
        ;;
    *rabbitmq*)
        root_of ca-certificates,rabbitmq-server
        inside mkdir -p /etc/rabbitmq/conf.d /var/lib/rabbitmq /var/log/rabbitmq
        inside sh -c 'echo "[rabbitmq_management,rabbitmq_prometheus]." >/etc/rabbitmq/enabled_plugins'
        inside sh -c 'ln -sf /usr/lib/rabbitmq/bin/* /usr/local/bin/'
        # In the foreground, with the log on standard output.
        buildah config --user rabbitmq --env HOME=/var/lib/rabbitmq --env RABBITMQ_LOGS=- \
            --env RABBITMQ_CONFIG_FILE=/etc/rabbitmq/rabbitmq.conf \
            --volume /var/lib/rabbitmq --cmd rabbitmq-server "$container"
        ;;
    *alertmanager*)
        root_of ca-certificates,busybox,prometheus-alertmanager
        inside ln -s /usr/bin/prometheus-alertmanager /usr/bin/alertmanager
        inside ln -s busybox /usr/bin/wget
        buildah config --user nobody --entrypoint '["/bin/alertmanager"]' \
            --workingdir /alertmanager --volume /alertmanager "$container"
        inside install -d -o nobody -g nogroup /alertmanager
        ;;
    *prometheus*)
        root_of ca-certificates,busybox,prometheus,promtool
        inside ln -s busybox /usr/bin/wget
        inside install -d -o nobody -g nogroup /prometheus
        buildah config --user nobody --entrypoint '["/bin/prometheus"]' \
            --workingdir /prometheus --volume /prometheus "$container"
        ;;
    esac
    commit "$1"
}

for image in "${absent[@]}"; do
    echo "containers: building a stand-in for $image (once, about half a minute)"
    build "$image"
done
echo "containers: ready after $SECONDS s"
