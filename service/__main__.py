"""Runs the command line: `python -m service`, or `crm-importer` where it is installed."""

import signal
import sys


def main() -> int:
    """Run it; Ctrl-C while its modules are read ends it at once, without Python's complaint."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from service.commands import cli  # noqa: PLC0415 - as said

    signal.signal(signal.SIGINT, before)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
