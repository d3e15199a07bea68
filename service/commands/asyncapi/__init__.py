"""Prints the AsyncAPI document of everything the importer reads and writes."""

import argparse
import json

from service.commands.asyncapi.document import build
from service.commands.terminal import show
from service.settings.environment import load
from service.settings.tree import Rabbit


def main(_: argparse.Namespace) -> int:
    """Print the document with the names that the environment gives."""
    show(text(load(portal=False).rabbit))
    return 0


def text(rabbit: Rabbit) -> str:
    """Return the document as the lines of a JSON file."""
    return json.dumps(build(rabbit), ensure_ascii=False, indent=2)
