"""Finds the examples of deploy/upstream.md, and runs them as a reader of the page would."""

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

PAGE = (ROOT / "deploy/upstream.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SUFFIXES = {"python": "py", "javascript": "js", "php": "php", "csharp": "cs", "sh": "sh"}
QUEUE = "shop.results"
WAITING = {
    "python": re.compile(r"^waiting = \[\n.*?^\]\n", re.MULTILINE | re.DOTALL),
    "javascript": re.compile(r"^const waiting = \[\n.*?^\];\n", re.MULTILINE | re.DOTALL),
}
"""What a publisher of the page publishes; another example shows only that."""


@dataclass(frozen=True, slots=True)
class Example:
    """A block of the page: its language and its text."""

    language: str
    text: str

    @property
    def is_reader(self) -> bool:
        """Tell whether it reads results for as long as it runs."""
        return self.language != "sh" and QUEUE in self.text

    @property
    def is_fragment(self) -> bool:
        """Tell whether it is only what a publisher of its language is to publish."""
        waiting = WAITING.get(self.language)
        return waiting is not None and waiting.match(self.text) is not None

    @property
    def is_runnable(self) -> bool:
        """Tell whether its language is at hand where the tests run."""
        return self.language != "csharp"

    def against(self, broker: Broker, vhost: str, queue: str = QUEUE) -> str:
        """Return the text with the places of a broker of ours; nothing else is changed."""
        api = urlsplit(broker.management_url)
        at = broker.address
        replaced = {
            "amqp://guest:guest@localhost:5672/%2F": broker.url(vhost),
            "amqp://guest:guest@localhost:5672/": broker.url(vhost),
            '"localhost", 5672, "guest", "guest", "/"': (
                f'"{at.host}", {at.amqp_port}, "{at.user}", "{at.password}", "{vhost}"'
            ),
            "http://localhost:15672/api/exchanges/%2F/": (
                f"http://{api.hostname}:{api.port}/api/exchanges/{quote(vhost, safe='')}/"
            ),
            "--host localhost --port 15672": f"--host {api.hostname} --port {api.port}",
            "--vhost /": f"--vhost {vhost}",
            "vendor/autoload.php": "PhpAmqpLib/autoload.php",
            QUEUE: queue,
        }
        text = self.text
        if self.is_fragment:
            whole = next(
                each.text
                for each in EXAMPLES
                if each.language == self.language and not (each.is_fragment or each.is_reader)
            )
            text, found = WAITING[self.language].subn(lambda _: self.text, whole, count=1)
            assert found, "the page's publisher has no events of its own"
        for there, here in replaced.items():
            text = text.replace(there, here)
        return text

    def command(self, text: str, folder: Path) -> Sequence[str]:
        """Return how to run the text, which is written into a folder."""
        script = folder / f"example.{SUFFIXES[self.language]}"
        script.write_text(text, encoding="utf-8")
        match self.language:
            case "python":
                return [sys.executable, "-u", str(script)]
            case "javascript":
                return [tool("node"), str(script)]
            case "php":
                return [tool("php"), str(script)]
            case _:
                return ["bash", "-euo", "pipefail", str(script)]


EXAMPLES = [Example(*found) for found in BLOCK.findall(PAGE)]


def environment(folder: Path) -> Mapping[str, str]:
    """Return an environment in which every command of the page is found."""
    command = folder / "bin" / "crm-importer"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m service "$@"\n')
    command.chmod(0o755)
    brought("php.sh")
    return {
        "PATH": f"{command.parent}:{brought('rabbitmqadmin.sh')}:{os.environ['PATH']}",
        "HOME": str(folder),
        "NODE_PATH": f"{node_modules()}",
    }


def node_modules() -> Path:
    """Return where the locked client library of the Node examples lies."""
    return Path(brought("node.sh")) / "node_modules"


def brought(script: str) -> str:
    """Run a script of tests/tools that brings what an example needs; return what it printed."""
    done = subprocess.run(
        [ROOT / "tests/tools" / script], capture_output=True, text=True, check=False
    )
    if done.returncode and os.environ.get("CI") != "true":
        pytest.skip(f"{script}: {done.stderr.strip()}")
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


def tool(name: str) -> str:
    """Return the path of a program that a script of tests/tools has brought."""
    found = shutil.which(name)
    assert found is not None, f"{name} is missing: tests/tools installs it"
    return found
