"""`python -m selfimprove`, and the command `selfimprove`."""

import atexit
import os
import sys
import threading

from selfimprove.cli.main import main


def entry() -> None:
    """Run a command, then exit without unloading torch, which would take two seconds for nothing.

    Exits normally under a profiler or a debugger, or if a thread is still running.
    """
    try:
        main()
    except SystemExit as ended:
        working = [one for one in threading.enumerate() if not one.daemon and one is not threading.main_thread()]
        watched = sys.getprofile() or sys.gettrace() or working
        if "torch" not in sys.modules or watched or not isinstance(ended.code, int | None):
            raise
        atexit._run_exitfuncs()  # what libraries want done
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(ended.code or 0)


if __name__ == "__main__":
    entry()
