"""Runs a RabbitMQ node of our own, which a test may stop, freeze, starve or kill."""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

from tests.support.broker import Address, Broker, BrokerError, Depth, ExistingBroker, OwnBroker
from tests.support.certificates import Authority, Files
from tests.support.child_process import ChildProcess, Scratch
from tests.support.erlang import EvaluationError, ask, listener
from tests.support.patience import Deadline, patient
from tests.support.ports import free_ports

BOOT_SECONDS = 90.0
CTL_SECONDS = 60.0
ELECTION_SECONDS = 20.0
GREETING = b"AMQP\x00\x00\x09\x01"
HOST_VERSIONS = ("", "host", "3.10")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONF = """\
listeners.tcp.default = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
disk_free_limit.absolute = 50MB
"""
TLS_CONF = """\
listeners.ssl.default = 127.0.0.1:{amqps}
ssl_options.cacertfile = {folder}/ca.pem
ssl_options.certfile = {folder}/cert.pem
ssl_options.keyfile = {folder}/key.pem
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""
# Asks each queue itself: every statistic of a quorum queue is up to five seconds old.
DEPTHS = """
Count = fun(Queue) ->
    case amqqueue:get_type(Queue) of
        rabbit_quorum_queue ->
            {{ok, {{_, All}}, _}} =
                ra:leader_query(amqqueue:get_pid(Queue), {{rabbit_fifo, overview, []}}),
            {{maps:get(num_ready_messages, All), maps:get(num_checked_out, All)}};
        _ ->
            Items = rabbit_amqqueue:info(Queue, [messages_ready, messages_unacknowledged]),
            {{proplists:get_value(messages_ready, Items),
              proplists:get_value(messages_unacknowledged, Items)}}
    end
end,
[{{element(4, amqqueue:get_name(Queue)), Count(Queue)}}
 || Queue <- rabbit_amqqueue:list(<<"{vhost}">>)].
"""
PORTS = ("amqp", "amqps", "management", "dist", "epmd", "ctl", "eval")
DEPTH = re.compile(r'\{<<"([^"]*)">>,\s*\{(\d+),\s*(\d+)\}\}')


@dataclass(frozen=True, slots=True)
class Installation:
    """Says where a RabbitMQ is: the system's own, or one in a folder with all it needs."""

    root: Path
    programs: Path

    @classmethod
    def of(cls, version: str) -> Self:
        """Find a version; tests/tools/rabbitmq.sh is what puts it there."""
        if version in HOST_VERSIONS:
            return cls(Path("/"), _host_programs())
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        tree = Path(cache) / "crm-importer" / f"rabbitmq-{version}"
        if not tree.is_dir():
            raise BrokerError(f"no RabbitMQ {version} in {tree}: `make broker RABBITMQ={version}`")
        return cls(tree, Path("/usr/lib/rabbitmq/bin"))

    @property
    def is_host(self) -> bool:
        """Tell whether no folder has to be entered."""
        return self.root == Path("/")

    def command(self, program: str, *args: str) -> list[str]:
        """Return how to start a program there; the process id stays the program's own."""
        enter = [] if self.is_host else ["unshare", "-m", f"--root={self.root}", "--mount-proc"]
        return [*enter, program, *args]

    def inside(self, path: Path) -> Path:
        """Return a path as the programs see it."""
        return Path("/") / path.relative_to(self.root)

    def scratch(self) -> Scratch:
        """Return a folder that the programs can reach."""
        return Scratch.make("rabbit", None if self.is_host else self.root / "tmp")


class RabbitNode(OwnBroker):
    """Runs one private node: own ports, cookie, data, and port mapper; nothing outlives us.

    Starting takes 3 to 6 seconds. Kill it rather than stop it: the disk is removed anyway.
    """

    boot_seconds = BOOT_SECONDS

    def __init__(self, version: str | None = None, *, tls: Authority | None = None) -> None:
        """Prepare; with an authority it listens for TLS, too, and demands a certificate of it."""
        self._tls = tls
        wanted = os.environ.get("RABBITMQ", "host") if version is None else version
        self._there = Installation.of(wanted)
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        super().__init__(
            Address(
                host="127.0.0.1",
                amqp_port=self._ports["amqp"],
                management_url=f"http://127.0.0.1:{self._ports['management']}",
            )
        )
        self._scratch: Scratch | None = None
        self._epmd: ChildProcess | None = None
        self._vm: ChildProcess | None = None
        self._listener = ""
        self._frozen = False
        self._alarmed = False

    @property
    def tls_port(self) -> int:
        """Return the port for TLS."""
        return self._ports["amqps"]

    def tls_url(self, vhost: str = "/") -> str:
        """Return the AMQP address over TLS of one virtual host."""
        place = f"127.0.0.1:{self.tls_port}/{quote(vhost, safe='')}"
        return f"amqps://{self._credentials}@{place}"

    # ---- its life ----

    def start(self) -> Self:
        """Make the folder, start the node, and wait until it serves."""
        self._scratch = self._there.scratch()
        try:
            self._write_files()
            self._start_epmd()
            self._boot()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything at once and remove the folder."""
        for process in (self._vm, self._epmd):
            if process is not None:
                process.kill()
        self._vm = self._epmd = None
        if self._scratch is not None:
            self._scratch.remove()
        self.close()

    def kill(self, *, at_once: bool = False) -> None:
        """Kill the node as a lost machine would; `restart` brings it back with its data.

        A quorum queue declared in the last three seconds may not come back: RabbitMQ keeps its
        registration in memory for that long, and the queue then has no leader for ever. So the
        registrations are written out first, a third of a second before the kill; not `at_once`.
        """
        if self.running and not self._frozen and not at_once:
            self.evaluate("[dets:sync(Table) || Table <- dets:all()].")
        self._node.kill()
        self._frozen = self._alarmed = False

    def restart(self) -> None:
        """Start it again, killed or not, with the same data and ports."""
        if self.running:
            self.kill()
        self._boot()

    def freeze(self) -> None:
        """Stop it where it stands: connections stay open and say nothing."""
        self._node.freeze()
        self._frozen = True

    def thaw(self) -> None:
        """Let a frozen node go on."""
        self._node.thaw()
        self._frozen = False

    def heal(self) -> None:
        """Thaw, restart and feed it, whatever of that it needs."""
        if self._frozen:
            self.thaw()
        if not self.running:
            self.restart()
        if self._alarmed:
            self.memory_alarm(on=False)

    @property
    def running(self) -> bool:
        """Tell whether the node's process is there, frozen or not."""
        return self._vm is not None and self._vm.exit_code is None

    @property
    def serves(self) -> bool:
        """Tell whether it takes connections."""
        return self.running and _greets(self._ports["amqp"])

    @property
    def _answers(self) -> bool:
        """Tell whether it evaluates; its listener comes last."""
        try:
            return self.evaluate("ok.") == "ok"
        except BrokerError:
            return False

    @property
    def pids(self) -> list[int]:
        """Return the process ids of the node and of its port mapper."""
        return [process.pid for process in (self._vm, self._epmd) if process is not None]

    # ---- what can be asked of it ----

    def evaluate(self, code: str) -> str:
        """Return the value of some Erlang expressions in the node; about a millisecond."""
        try:
            return ask(self._ports["eval"], code, patient(CTL_SECONDS))
        except (EvaluationError, OSError) as error:
            raise BrokerError(f"evaluation: {error}") from error

    def ctl(self, *args: str) -> str:
        """Run `rabbitmqctl` and return what it printed; most of a second of processor time."""
        return self.run("rabbitmqctl", "--quiet", *args)

    def run(self, program: str, *args: str) -> str:
        """Run one of the broker's programs and return what it printed."""
        try:
            done = subprocess.run(
                self._there.command(self._program(program), *args),
                check=False,
                capture_output=True,
                text=True,
                env=self._env(),
                timeout=patient(CTL_SECONDS),
            )
        except subprocess.TimeoutExpired as late:
            told = f"{program} {' '.join(args)}: no end in {late.timeout:.0f} s"
            raise BrokerError(told) from None
        if done.returncode:
            raise BrokerError(f"{program} {' '.join(args)}: {done.stdout}{done.stderr}")
        return done.stdout

    def memory_alarm(self, *, on: bool) -> None:
        """Raise or clear the memory alarm, which blocks every connection that publishes."""
        self.evaluate(f"vm_memory_monitor:set_vm_memory_high_watermark({0.0 if on else 0.4}).")
        self._alarmed = on

    def close_connections(self, vhost: str, reason: str = "closed by a test") -> None:
        """Close every AMQP connection to a virtual host, as an operator would."""
        self.ctl("close_all_connections", "--vhost", vhost, reason)

    def queues(self, vhost: str) -> dict[str, Depth]:
        """Count exactly what every queue holds now, asked from the queues themselves.

        After a restart that waits until each quorum queue has elected its leader.
        """
        deadline = Deadline(ELECTION_SECONDS)
        while True:
            try:
                rows = DEPTH.findall(self.evaluate(DEPTHS.format(vhost=vhost)))
            except BrokerError:
                if deadline.passed:
                    raise
            else:
                return {name: Depth(int(ready), int(out)) for name, ready, out in rows}

    # ---- how it is started ----

    @property
    def _node(self) -> ChildProcess:
        if self._vm is None:
            raise BrokerError("the node has not been started")
        return self._vm

    @property
    def folder(self) -> Path:
        """Return where the node keeps its data and logs."""
        if self._scratch is None:
            raise BrokerError("the node has not been started")
        return self._scratch.path

    def _program(self, name: str) -> str:
        return str(self._there.programs / name)

    def _write_files(self) -> None:
        home = self.folder / "home"
        home.mkdir()
        cookie = home / ".erlang.cookie"
        cookie.write_text(os.urandom(16).hex())
        cookie.chmod(0o400)
        conf = CONF + (TLS_CONF if self._tls else "")
        inside = self._there.inside(self.folder)
        (self.folder / "rabbitmq.conf").write_text(conf.format(**self._ports, folder=inside))
        if self._tls:
            Files.write(self.folder, self._tls, self._tls.issue("127.0.0.1"))
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        self._listener = listener(self.folder, inside, self._ports["eval"])

    def _env(self) -> dict[str, str]:
        here = self._there.inside(self.folder)
        ctl = str(self._ports["ctl"])
        return {
            "ERL_CRASH_DUMP": "/dev/null",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self._ports["epmd"]),
            "HOME": f"{here}/home",
            "LANG": "C.UTF-8",
            "PATH": PATH,
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{here}/advanced.config",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_CTL_DIST_PORT_MAX": str(int(ctl) + 20),
            "RABBITMQ_CTL_DIST_PORT_MIN": ctl,
            "RABBITMQ_DIST_PORT": str(self._ports["dist"]),
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_MNESIA_BASE": f"{here}/data",
            "RABBITMQ_NODENAME": f"t{self._ports['amqp']}@localhost",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            # between nodes and tools too, only this machine
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                f"-kernel inet_dist_use_interface {{127,0,0,1}} {self._listener}"
            ),
            # the start script then becomes the virtual machine instead of its parent
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _start_epmd(self) -> None:
        """Start a port mapper in the foreground: the node would leave one behind otherwise."""
        mapper = self._there.command(
            "epmd", "-port", str(self._ports["epmd"]), "-address", "127.0.0.1"
        )
        self._epmd = ChildProcess(mapper, env=self._env(), cwd=self.folder, name="epmd")

    def _boot(self) -> None:
        (self.folder / "node.out").unlink(missing_ok=True)
        command = self._there.command(self._program("rabbitmq-server"))
        self._vm = ChildProcess(command, env=self._env(), cwd=self.folder, name="node")
        deadline = Deadline(self.boot_seconds)
        while not (_has_booted(self._vm) and _greets(self._ports["amqp"]) and self._answers):
            if self._vm.exit_code is not None or deadline.passed:
                raise BrokerError(
                    f"the RabbitMQ node did not start in {deadline}:\n{self._vm.tail()}"
                )
            time.sleep(0.05)


@contextmanager
def open_broker() -> Iterator[Broker]:
    """Lend the broker of TEST_RABBIT_URL, else a node of our own that is gone afterwards."""
    if url := os.environ.get("TEST_RABBIT_URL"):
        existing = ExistingBroker(url)
        yield existing
        existing.close()
        return
    node = RabbitNode().start()
    try:
        yield node
    finally:
        node.stop()


def _host_programs() -> Path:
    for place in (Path("/usr/lib/rabbitmq/bin"), shutil.which("rabbitmq-server")):
        if place and (found := Path(place)).exists():
            return found if found.is_dir() else found.resolve().parent
    raise BrokerError("no rabbitmq-server on this machine: `make broker` says how to get one")


def _has_booted(vm: ChildProcess) -> bool:
    """Look for the end of the banner: a node listens before its boot has ended."""
    return "completed with" in vm.stdout.read_text(errors="replace")


def _greets(port: int) -> bool:
    """Start an AMQP handshake and see whether the node answers with a method frame."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5.0) as line:
            line.sendall(GREETING)
            return line.recv(1) == b"\x01"
    except OSError:
        return False
