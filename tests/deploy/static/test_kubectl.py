"""Proves that kubectl understands what the pages tell people to type."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.deploy.static.manifests import ROOT

PAGES = (ROOT / "README.md", *sorted((ROOT / "deploy").rglob("*.md")))
TOLD = re.compile(r"^(kubectl [^\n]*)|`(kubectl [^`\n]*)`", re.MULTILINE)
FILLED_IN = {"$NS": "here", "$APP": "deployment/importer", "$PODS": "a=b"}
ENDS = {"|", "&"}
"""Where another program begins."""
NOWHERE = "--server=http://127.0.0.1:1"


def test_kubectl_understands_every_command_of_the_pages(tmp_path: Path) -> None:
    """Each gets as far as the cluster, which is not there; a wrong option ends before."""
    kubectl = shutil.which("kubectl") or pytest.skip("no kubectl here")
    for name in ("rabbit_url", "webhook_url"):
        (tmp_path / name).write_text("secret")

    def answer(words: tuple[str, ...]) -> str:
        done = subprocess.run(
            [kubectl, NOWHERE, *(FILLED_IN.get(word, word) for word in words[1:])],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stderr

    told = sorted(set(_commands()))
    assert len(told) > 20
    with ThreadPoolExecutor(4) as threads:
        answers = dict(zip(told, threads.map(answer, told), strict=True))
    assert {} == {each: said for each, said in answers.items() if "refused" not in said}


def _commands() -> Iterator[tuple[str, ...]]:
    """Yield every whole command but `apply`: the manifests are rendered elsewhere."""
    for page in PAGES:
        for found in TOLD.finditer(page.read_text().replace("\\\n", "")):
            words = shlex.split(found[1] or found[2], comments=True)
            ends = [place for place, word in enumerate(words) if word in ENDS]
            words = words[: ends[0]] if ends else words
            is_whole = len(words) > 3 and "…" not in "".join(words)
            if is_whole and "apply" not in words:
                yield tuple(words)
