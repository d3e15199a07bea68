"""Holds the console's manifests to the program: it starts, asks the importer, and is shut."""

import re
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from service.commands.console import unguarded
from service.settings.environment import load
from tests.deploy.static.environment import MADE_UP
from tests.deploy.static.manifests import ROOT, Manifest, Rendered, portal, render

NAME = "crm-importer-console"
MOST_BYTES = 10_000_000
"""The image has the console as long as it adds less."""


def container(rendered: Rendered, name: str = NAME) -> Manifest:
    """Return the console's container."""
    spec = rendered.one("Deployment", name)["spec"]["template"]["spec"]
    (found,) = spec["containers"]
    return dict(found)


def given(found: Manifest) -> dict[str, str]:
    """Return its variables as Kubernetes sets them, one filled into another."""
    environ: dict[str, str] = {}
    for each in found["env"]:
        environ[each["name"]] = re.sub(
            r"\$\((\w+)\)", lambda name: environ[name[1]], each["value"]
        )
    return environ


def test_its_settings_are_accepted_and_it_is_not_open() -> None:
    """With a password from the Secret; the port of the settings is the port of the pod."""
    found = container(render("console"))
    environ = given(found)
    with tempfile.TemporaryDirectory() as folder:
        for name, path in environ.items():
            if name.endswith("_FILE"):
                file = Path(folder, Path(path).name)
                file.write_text(MADE_UP[file.name])
                environ[name] = str(file)
        settings = load(environ, portal=False)
    assert "" == unguarded(settings.console)
    assert settings.console.password is not None
    assert [{"name": "console", "containerPort": settings.console.port}] == found["ports"]
    assert ["console"] == found["args"]


@pytest.mark.parametrize("name", ["acme", "beta"])
def test_it_asks_the_importer_of_its_own_portal(name: str) -> None:
    """The Service that the address names is rendered under that name; `lanes` asks the same."""
    rendered = portal(name)
    for each in (container(rendered, f"{NAME}-{name}"), rendered.container):
        url = given(each)["IMPORTER_CONSOLE__STATUS_URL"]
        assert f"http://crm-importer-{name}:8080/status" == url
    assert "None" == rendered.one("Service", f"crm-importer-{name}")["spec"]["clusterIP"]


def test_no_pod_gets_in_and_it_reaches_the_importer() -> None:
    """No Ingress, no rule for incoming traffic; the importer's own policy lets it in."""
    rendered = render("all-but-standby")
    policy = rendered.one("NetworkPolicy", NAME)["spec"]
    assert {"Ingress", "Egress"} == set(policy["policyTypes"])
    assert "ingress" not in policy
    assert [] == rendered.all("Ingress")
    assert "type" not in rendered.one("Service", NAME)["spec"]
    [rule] = rendered.one("NetworkPolicy")["spec"]["ingress"]
    allowed = [
        each["podSelector"]["matchLabels"] for each in rule["from"] if "podSelector" in each
    ]
    assert [{"app.kubernetes.io/name": "crm-importer"}] == allowed


def test_the_console_adds_little_to_the_image() -> None:
    """Its libraries that nothing else needs, compiled as the image has them, and its own files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = set(needed(project["optional-dependencies"]["console"]))
    added = ours - set(needed(project["dependencies"]))
    assert {"jinja2", "starlette", "uvicorn"} <= added
    own = [each for each in (ROOT / "service/commands/console").rglob("*") if each.is_file()]
    files = [*own, *(each for name in added for each in files_of(name))]
    # What is compiled is about as large as its source.
    sizes = [each.stat().st_size * (2 if each.suffix == ".py" else 1) for each in files]
    assert 1_000_000 < sum(sizes) < MOST_BYTES


def needed(requirements: Iterable[str]) -> Iterator[str]:
    """Yield what is installed for some requirements, and for what those require."""
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement.name.lower()
            yield from needed(distribution(requirement.name).requires or ())


def files_of(name: str) -> Iterator[Path]:
    """Yield the files of an installed library, without what was compiled here."""
    for file in distribution(name).files or ():
        path = Path(str(file.locate()))
        if path.is_file() and path.suffix != ".pyc":
            yield path
