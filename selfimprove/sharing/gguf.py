"""The champion as a GGUF file for llama.cpp, by llama.cpp's own converter where it is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from selfimprove.errors import DataError, EngineError, StorageError
from selfimprove.safety.redaction import shown

PLACE = "LLAMA_CPP"
"""The environment variable with the folder of llama.cpp."""
SCRIPT = "convert_hf_to_gguf.py"


def converter() -> list[str]:
    """The command of the converter.

    Raises:
        EngineError: it is not installed.
    """
    if place := os.environ.get(PLACE):
        script = Path(place).expanduser() / SCRIPT
        if script.is_file():
            return [sys.executable, str(script)]
        raise EngineError(f"{PLACE} names {place}, and there is no {SCRIPT} in it")
    if found := shutil.which(SCRIPT):
        return [sys.executable, found]
    raise EngineError(
        "gguf needs llama.cpp's converter: git clone https://github.com/ggml-org/llama.cpp && pip install -r "
        f"llama.cpp/requirements/requirements-convert_hf_to_gguf.txt && export {PLACE}=$PWD/llama.cpp"
    )


def convert(model: Path, out: Path, dtype: str = "auto") -> None:
    """Write a model folder as a GGUF file; the file appears only when it is complete.

    Args:
        dtype: the converter's `--outtype`: auto, f32, f16, bf16, q8_0.

    Raises:
        EngineError: the converter is not installed.
        StorageError: the file exists.
        DataError: the converter cannot read the model.
    """
    command = converter()
    if out.exists():
        raise StorageError(f"{out} exists; name another file: --to gguf:FILE")
    fresh = out.with_name(f".{out.name}.new")
    fresh.unlink(missing_ok=True)
    words = [*command, str(model), "--outfile", str(fresh), "--outtype", dtype]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    if done.returncode or not fresh.is_file():
        fresh.unlink(missing_ok=True)
        lines = [line for line in done.stdout.splitlines() if line.strip()] or [f"it ended with {done.returncode}"]
        raise DataError(f"llama.cpp's converter cannot write this model: {shown(lines[-1])[:300]}")
    fresh.replace(out)
