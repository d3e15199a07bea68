"""Builds the environment that a rendered pod would have, and reads it as the service would."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from service.settings import environment
from service.settings.tree import Settings
from tests.deploy.static.manifests import Manifest, Rendered

FILLED = re.compile(r"\$\((\w+)\)")
# Of the Secret that comes from outside.
MADE_UP = {
    "rabbit_url": "amqp://importer:s3cret@rabbitmq:5672/",
    "webhook_url": "https://portal.example.com/rest/1/s3cret/",
    "console_password": "s3cret, and long",
}


def settings(rendered: Rendered) -> Settings:
    """Return the settings of the importer's pod; raises SettingsInvalid as the service would."""
    with tempfile.TemporaryDirectory() as folder:
        environ = dict(variables(rendered))
        for name, value in environ.items():
            if name.endswith("_FILE"):
                environ[name] = str(_mounted(rendered, PurePosixPath(value), Path(folder)))
        return environment.load(environ)


def variables(rendered: Rendered) -> Iterator[tuple[str, str]]:
    """Yield every variable of the importer's container; of two with one name the later counts."""
    container = rendered.container
    maps = _maps(rendered)
    for source in container["envFrom"]:
        yield from maps.get(source.get("configMapRef", {}).get("name"), {}).items()
    known: dict[str, str] = {}
    for each in container["env"]:
        # Kubernetes fills one into another, in their order.
        filled = FILLED.sub(lambda name: known.get(name[1], name[0]), each.get("value", ""))
        known[each["name"]] = filled
        yield each["name"], filled


def volume_of(rendered: Rendered, path: PurePosixPath) -> Manifest:
    """Return the volume in which a file lies; nothing where none is mounted."""
    volumes = {volume["name"]: volume for volume in rendered.pod["volumes"]}
    mounts = {PurePosixPath(m["mountPath"]): m["name"] for m in rendered.container["volumeMounts"]}
    return dict(volumes.get(mounts.get(path.parent), {}))


def _mounted(rendered: Rendered, path: PurePosixPath, folder: Path) -> Path:
    """Write what the pod would find at a path; nothing where no volume has it."""
    file = folder / path.name
    volume = volume_of(rendered, path)
    content = MADE_UP if "secret" in volume else {}
    if "configMap" in volume:
        content = _maps(rendered).get(volume["configMap"]["name"], {})
    if path.name in content:
        file.write_text(content[path.name])
    return file


def _maps(rendered: Rendered) -> dict[str, dict[str, str]]:
    return {each["metadata"]["name"]: each["data"] for each in rendered.all("ConfigMap")}
