"""Runs every example of deploy/upstream.md as it stands, against a broker and the importer."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.support.broker import Broker
from tests.support.processes import ROOT
from tests.support.world import World

PAGE = (ROOT / "deploy/upstream.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ORDERS = [f"order-{number}" for number in range(1017, 1025)]
RUNNABLE = {"python", "javascript", "sh"}


@dataclass(frozen=True, slots=True)
class Example:
    """A block of the page: its language and its text."""

    language: str
    text: str

    def against(self, broker: Broker, vhost: str) -> str:
        """Return the text with the addresses of a broker of ours; nothing else is changed."""
        api = urlsplit(broker.management_url)
        replaced = {
            "amqp://guest:guest@localhost:5672/": broker.url(vhost),
            "http://localhost:15672/api/exchanges/%2F/": (
                f"http://{api.hostname}:{api.port}/api/exchanges/{quote(vhost, safe='')}/"
            ),
            "--host=localhost --port=15672": f"--host={api.hostname} --port={api.port}",
            "--vhost=/": f"--vhost={vhost}",
        }
        text = self.text
        for there, here in replaced.items():
            text = text.replace(there, here)
        return text


EXAMPLES = [Example(*found) for found in BLOCK.findall(PAGE)]
READER = next(each for each in EXAMPLES if "crm.items.succeeded" in each.text)


def test_every_example_is_run() -> None:
    """No block of the page is of a language that nobody runs here."""
    assert set() == {each.language for each in EXAMPLES} - RUNNABLE
    named = set(re.findall(r"order-\d+", "".join(each.text for each in EXAMPLES)))
    assert set(ORDERS) == named


async def test_what_the_page_publishes_is_imported_and_told(
    broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """Each example once; then the page's own reader names every item."""
    async with World(broker, vhost) as world:
        await world.start_service()
        for example in EXAMPLES:
            if example is not READER:
                _run(example, example.against(broker, vhost), tmp_path)
        await world.wait_idle()
        told = _run(READER, READER.against(broker, vhost), tmp_path).splitlines()
        assert ORDERS == sorted(line.split()[0] for line in told if " is item " in line)
        assert sorted(ORDERS) == sorted(world.external_ids().elements())


def _run(example: Example, text: str, folder: Path) -> str:
    """Run one example as a reader would; return what it printed."""
    done = subprocess.run(
        _command(example, text),
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 0 == done.returncode, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _command(example: Example, text: str) -> Sequence[str]:
    match example.language:
        case "python":
            return [sys.executable, "-c", text]
        case "javascript":
            return [_tool("node"), "-e", text]
        case _:
            return ["bash", "-euo", "pipefail", "-c", text]


def _environment(folder: Path) -> Mapping[str, str]:
    """Return an environment in which `crm-importer` is a command, as after an installation."""
    command = folder / "bin" / "crm-importer"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m service "$@"\n')
    command.chmod(0o755)
    return {
        "PATH": f"{command.parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "NODE_PATH": f"{_node_modules()}",
    }


def _node_modules() -> Path:
    """Return where the locked client library of the Node example lies."""
    script = ROOT / "tests/tools/node.sh"
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"no node: {done.stderr.strip()}")
    assert 0 == done.returncode, done.stderr
    return Path(done.stdout.strip()) / "node_modules"


def _tool(name: str) -> str:
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: tests/tools/node.sh installs it"
    return found
