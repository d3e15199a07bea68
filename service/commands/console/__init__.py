"""A web page for operators: a process of its own that shows the importer and does what `dlq` does.

What it does, the commands do: it calls their functions.
"""

import argparse
from importlib import import_module
from ipaddress import ip_address

from service.settings.environment import SettingsInvalid, load
from service.settings.process import Console
from service.settings.tree import PREFIX

INSTALL = "pip install 'crm-importer[console]'"
_LIBRARIES = ("jinja2", "starlette", "uvicorn")


def main(_: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return 0 after that. Raises SettingsInvalid, CannotStart."""
    for library in _LIBRARIES:
        try:
            import_module(library)
        except ImportError:
            missing = f"the console is not installed ({library} is missing): {INSTALL}"
            raise SettingsInvalid([missing]) from None
    settings = load(portal=False)
    if mistake := unguarded(settings.console):
        raise SettingsInvalid([mistake])
    # Only now: without the extra its modules cannot be imported.
    code: int = import_module("service.commands.console.serving").serve(settings)
    return code


def unguarded(console: Console) -> str:
    """Return why the console would be open to everybody; empty where it is not."""
    if console.password is not None or is_loopback(console.host):
        return ""
    return (
        f"{PREFIX}CONSOLE__HOST is {console.host}, which others can reach: set "
        f"{PREFIX}CONSOLE__PASSWORD (or its _FILE), or listen on 127.0.0.1"
    )


def is_loopback(host: str) -> bool:
    """Tell whether an address or a name leads to this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
