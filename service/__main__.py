"""Runs the command line: `python -m service`."""

import sys

from service.commands.cli import main

sys.exit(main())
