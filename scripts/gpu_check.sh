#!/bin/sh
# What to run first on a machine with a GPU: speed, memory, and whether runs survive a kill. At most ten minutes.
# Usage: scripts/gpu_check.sh [--cpu-smoke] [--minutes 10] [--json FILE]
# It uses .venv where `make run` made one, else python3; PYTHON=... names another. Nothing is downloaded.
here=$(dirname "$0")
if [ -z "$PYTHON" ]; then
    PYTHON=python3
    [ -x "$here/../.venv/bin/python" ] && PYTHON="$here/../.venv/bin/python"
fi
exec "$PYTHON" "$here/gpu_check.py" "$@"
