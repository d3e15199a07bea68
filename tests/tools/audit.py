"""Asks which locked packages have known weaknesses; fails where it got no answer for one.

pip-audit alone ends well when its source knows nothing of a package, or cannot be reached: then
nothing was audited, and nobody would notice.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.tools.locks import ROOT, environments, locks, pinned

FOLDER = ROOT / ".venv-audit"
LOCK = ROOT / "tests/audit/requirements.txt"
OPTIONS = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off")


def findings(report: Mapping[str, Any], wanted: Iterable[str]) -> list[str]:
    """Return what is wrong: a weakness, a package that was skipped, one that is not there."""
    told = {each["name"]: each for each in report.get("dependencies", ())}
    found = []
    for name in wanted:
        each = told.get(name, {"skip_reason": "not in the report"})
        if reason := each.get("skip_reason"):
            found.append(f"{name} was not audited: {reason}")
        for weakness in each.get("vulns", ()):
            mended = ", ".join(weakness["fix_versions"]) or "none yet"
            found.append(f"{name} {each['version']}: {weakness['id']} (mended in: {mended})")
    return found


def main() -> int:
    """Audit every lock for this interpreter; print what was found."""
    subprocess.run(
        [ROOT / "tests/tools/setup.sh", str(LOCK), str(FOLDER)],
        check=True,
        env=os.environ | {"PYTHON": sys.executable},
    )
    here = next(environments([f"{sys.version_info[0]}.{sys.version_info[1]}"]))
    bad = 0
    for lock in locks():
        wanted = pinned(lock.pins(), here)
        found = findings(_asked([*OPTIONS, "--requirement", str(ROOT / lock.path)]), wanted)
        print(f"audit: {lock.path}: {len(wanted)} packages, {len(found)} findings")
        print("".join(f"  {line}\n" for line in found), end="")
        bad += len(found)
    return 1 if bad else 0


def _asked(options: Sequence[str]) -> Mapping[str, Any]:
    """Return pip-audit's report; an empty one, after its own words, where it made none."""
    done = subprocess.run(
        [FOLDER / "bin/pip-audit", *options], check=False, capture_output=True, text=True
    )
    try:
        report: Mapping[str, Any] = json.loads(done.stdout)
    except ValueError:
        print(done.stderr[-2000:], file=sys.stderr)
        return {}
    return report


if __name__ == "__main__":
    sys.exit(main())
