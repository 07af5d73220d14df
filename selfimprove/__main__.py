"""`python -m selfimprove`, and the command `selfimprove`."""

import atexit
import os
import sys
import threading

from selfimprove.cli import streams
from selfimprove.errors import of_machine


def entry() -> None:
    """Run a command, then exit without unloading torch, which would take two seconds for nothing.

    Exits normally under a profiler or a debugger, or if a thread is still running.
    """
    streams.opened()
    try:
        from selfimprove.cli.main import main  # here, because a small machine may not even give memory for modules
    except (ImportError, MemoryError, OSError, RuntimeError) as error:
        if (known := of_machine(error)) is None:
            raise
        sys.stderr.write(f"error: {known}\n")
        sys.exit(known.code)
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
    try:
        main()
    except SystemExit as ended:
        working = [one for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]
        watched = sys.getprofile() or sys.gettrace() or working
        if "torch" not in sys.modules or watched or not isinstance(ended.code, int | None):
            raise
        atexit._run_exitfuncs()  # what libraries want done
        streams.closed()
        os._exit(ended.code or 0)


if __name__ == "__main__":
    entry()
