"""Holds the console's manifests to the program: it starts, asks the importer, and is shut."""

import re
import tempfile
from pathlib import Path

import pytest

from service.commands.console import unguarded
from service.settings.environment import load
from tests.deploy.static.environment import MADE_UP
from tests.deploy.static.manifests import Manifest, Rendered, portal, render

NAME = "crm-importer-console"


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
