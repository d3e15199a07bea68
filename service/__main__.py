"""Runs the command line: `python -m service`, or `crm-importer` where it is installed."""

import os
import signal
import sys


def main() -> int:
    """Run it; a signal while its modules are read ends it at once, without Python's complaint.

    The service ends with 0 then, as after any stop: it holds nothing yet. As the first process of
    a container it would not even notice SIGTERM without a handler.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1:2] in ([], ["run"]):
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    from service.commands import cli  # noqa: PLC0415 - as said

    signal.signal(signal.SIGINT, before)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
