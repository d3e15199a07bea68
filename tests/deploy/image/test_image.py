"""The image as it is built: small, what the lock says, nobody in particular, and it obeys."""

import json
import time

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.deploy.image.conftest import REVISION
from tests.deploy.image.podman import BASE, ROOT, Container, inspect, podman, run
from tests.tools.locks import environments, pinned, pins

pytestmark = pytest.mark.timeout(900)
OWN_BYTES = 60_000_000
TRACING_BYTES = 75_000_000
GRACE = 20
NOWHERE = (
    "--env=IMPORTER_RABBIT__URL=amqp://guest:guest@127.0.0.1:1/",
    "--env=IMPORTER_BITRIX__WEBHOOK_URL=http://127.0.0.1:1/rest/1/made-up/",
)
KILLED = 137
SELF = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
def writes(path):
    try:
        open(path + "/probe", "w").close()
    except OSError as error:
        return error.strerror
    return "written"
places = ("/", "/app", "/etc", "/opt/importer", "/var/tmp", "/tmp")
print(json.dumps({
    "user": [os.getuid(), os.getgid(), os.getgroups()],
    "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"],
    "writes": {place: writes(place) for place in places},
}))
"""

OWNERS = """
import os, stat
seen, found = 0, []
for folder, below, names in os.walk("/"):
    if folder == "/":
        below[:] = set(below) - {"proc", "sys", "dev"}
    for path in (os.path.join(folder, name) for name in names):
        mode = os.lstat(path).st_mode
        seen += 1
        found += [path] * (stat.S_ISREG(mode) and mode & 0o6000 != 0)
print(seen > 1000, found)
"""
"""Looks for files that run as their owner, wherever the user may look."""


def test_image_is_small(image: str, tracing_image: str) -> None:
    """What we add to the interpreter's image stays small; so does the extra."""
    base = inspect(BASE)["Size"]
    assert OWN_BYTES > inspect(image)["Size"] - base
    assert TRACING_BYTES > inspect(tracing_image)["Size"] - base


def test_image_says_what_it_is(image: str) -> None:
    """Labels, user, port, and the signal that stops it."""
    told = inspect(image)
    labels = {key.rpartition(".")[2]: value for key, value in told["Labels"].items()}
    expected = {
        "title": "crm-importer",
        "licenses": "MIT",
        "version": "test",
        "revision": REVISION,
    }
    assert expected == {key: labels.get(key) for key in expected}
    config = told["Config"]
    assert ("10001:10001", "SIGTERM") == (config["User"], config["StopSignal"])
    assert {"8080/tcp": {}} == config["ExposedPorts"]


def test_image_names_its_base_and_nothing_in_it_becomes_root(
    image: str, restricted: list[str]
) -> None:
    """No file that runs as its owner, and the base by the name that it was built from."""
    assert (
        BASE.rpartition("/")[2] in inspect(image)["Labels"]["org.opencontainers.image.base.name"]
    )
    told = podman("run", "--rm", *restricted, "--entrypoint=python", image, "-c", OWNERS)
    assert "True []" == told


def test_image_holds_the_service_and_nothing_else(image: str, restricted: list[str]) -> None:
    """No tests, no documents, no installer, no compiler."""
    program = "import os; print(*sorted(os.listdir('/app')), sep=chr(10))"
    listed = podman("run", "--rm", *restricted, "--entrypoint=python", image, "-c", program)
    assert ["LICENSE", "sbom.json", "service"] == listed.splitlines()
    lost = ("pip", "pytest", "aiohttp", "setuptools")
    asked = f"from importlib.util import find_spec as f; print([n for n in {lost} if f(n)])"
    assert "[]" == podman("run", "--rm", *restricted, "--entrypoint=python", image, "-c", asked)
    find = ["find", "/app", "-name", "*.md", "-o", "-name", "test_*"]
    assert "" == podman("run", "--rm", *restricted, "--entrypoint=", image, *find)


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-tracing.txt"])
def test_bill_of_materials_is_the_lock(
    lock: str, image: str, tracing_image: str, restricted: list[str]
) -> None:
    """Valid CycloneDX, and every package of the lock in it with its version, and no other."""
    chosen = image if lock == "requirements.txt" else tracing_image
    text = podman("run", "--rm", *restricted, "--entrypoint=cat", chosen, "/app/sbom.json")
    assert None is JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    document = json.loads(text)
    packages = [each for each in document["components"] if each["type"] == "library"]
    found = {each["name"]: each["version"] for each in packages}
    assert [] == [each["name"] for each in packages if not each.get("hashes")]
    linux = next(environments(["3.13"]))
    assert pinned(pins((ROOT / "deploy" / lock).read_text()), linux) == found
    assert [] == [each["name"] for each in document["components"] if "licenses" not in each]


def test_process_has_no_rights(image: str, restricted: list[str]) -> None:
    """User 10001, no capability, none to be had, and nothing to write to but /tmp."""
    text = podman("run", "--rm", *restricted, "--entrypoint=python", image, "-c", SELF)
    told = json.loads(text)
    assert [10001, 10001] == told["user"][:2]
    assert {"0" * 16} == set(told["capabilities"])
    assert "1" == told["no_new_privileges"]
    assert "written" == told["writes"].pop("/tmp")
    assert {"Read-only file system"} == set(told["writes"].values())


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["--help"], 0, "usage: crm-importer"),
        (["--version"], 0, "crm-importer "),
        (["settings"], 0, "IMPORTER_BITRIX__WEBHOOK_URL"),
        (["settings", "--format", "env"], 0, "IMPORTER_BATCH__WINDOW_SECONDS="),
        (["asyncapi"], 0, '"asyncapi": "3.'),
        (["check"], 1, "broker"),
        (["run", "--nonsense"], 2, "unrecognized arguments"),
    ],
)
def test_commands_work_in_it(
    command: list[str], code: int, words: str, image: str, restricted: list[str]
) -> None:
    """Without a network, too; what cannot work says so, and never with a traceback."""
    done = run("podman", "run", "--rm", *restricted, *NOWHERE, image, *command, expected=None)
    told = done.stdout + done.stderr
    assert code == done.returncode, told
    assert words in told
    assert "Traceback" not in told


def test_command_has_its_name_in_it(image: str, restricted: list[str]) -> None:
    """Runbooks say `crm-importer`: whoever has a shell in the pod can type that."""
    told = podman("run", "--rm", *restricted, "--entrypoint=crm-importer", image, "--version")
    assert told.startswith("crm-importer ")


def test_bad_settings_are_one_line(image: str, restricted: list[str]) -> None:
    """Exit 2 and the name of the setting."""
    bad = "--env=IMPORTER_BATCH__MAX_ITEMS=21"
    done = run("podman", "run", "--rm", *restricted, *NOWHERE, bad, image, expected=2)
    assert 1 == len(done.stderr.splitlines())
    assert done.stderr.startswith("error: IMPORTER_BATCH__MAX_ITEMS")


def test_process_waits_without_neighbours_and_stops_when_asked(
    image: str, restricted: list[str]
) -> None:
    """As process 1: alive, not ready, tells its revision, and ends with 0 on SIGTERM."""
    with Container(image, options=[*restricted, *NOWHERE]) as container:
        container.wait_until_answers("/livez", 200)
        status, body = container.ask("/readyz")
        assert (503, False) == (status, json.loads(body)["ready"])
        assert f'revision="{REVISION}"' in container.ask("/metrics")[1]
        code, seconds = container.stop(GRACE)
        assert 0 == code, container.logs()
        assert GRACE > seconds


def test_memory_limit_is_one(image: str, restricted: list[str], memory_limit: int) -> None:
    """Whoever takes more is killed, so the soak below could fail."""
    program = f"held = bytearray({memory_limit * 2}); import time; time.sleep(30)"
    started = time.monotonic()
    run(
        *("podman", "run", "--rm", *restricted, "--entrypoint=python", image, "-c", program),
        expected=KILLED,
    )
    assert 20 > time.monotonic() - started


def test_traces_are_in_the_image_that_was_asked_for_them(
    image: str, tracing_image: str, restricted: list[str]
) -> None:
    """Only there."""
    program = "from importlib.util import find_spec; print(bool(find_spec('opentelemetry')))"
    command = ("run", "--rm", *restricted, "--entrypoint=python")
    assert ["True", "False"] == [
        podman(*command, each, "-c", program) for each in (tracing_image, image)
    ]
