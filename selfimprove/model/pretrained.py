"""A Hugging Face model: a local folder or a hub id.

Idea: start the loop from weights that exist.
Survey: none.
Paper: none.
Algorithm:
  1. Check that the folder has a config, safetensors weights and a tokenizer; pickled weights are refused.
  2. Use it where it lies; it is not copied into the run.
Differs: nothing to compare with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from selfimprove.errors import DataError, EngineError, MissingError
from selfimprove.interfaces import REQUIRED, Engine, Log, Model, Task
from selfimprove.records import Checkpoint
from selfimprove.registry import register


@register("pretrained")
@dataclass
class Pretrained(Model):
    path: str = REQUIRED
    """A local `save_pretrained` folder, or a hub id such as Qwen/Qwen3-0.6B."""

    def build(self, task: Task, engine: Engine, folder: Path, seed: int, log: Log) -> Checkpoint:
        local = Path(self.path).expanduser()
        if not local.exists():
            if local.is_absolute() or self.path.startswith(".") or self.path.count("/") != 1:
                raise MissingError(f"model.pretrained.path: there is no folder {self.path!r}")
            local = self._download()
        check_folder(local)
        return Checkpoint(path=str(local.resolve()))

    def _download(self) -> Path:
        from huggingface_hub import snapshot_download

        allowed = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
        try:
            return Path(snapshot_download(self.path, allow_patterns=allowed))
        except Exception as error:
            raise EngineError(
                f"{self.path!r} is no local folder and could not be fetched from the hub: "
                f"{str(error).splitlines()[0]}. Give model.pretrained.path a local folder to work offline"
            ) from error


def check_folder(folder: Path) -> None:
    """Raise a DataError that says why a folder cannot be loaded as a model, if it cannot."""
    if not (folder / "config.json").is_file():
        raise DataError(f"{folder} is not a model folder: it has no config.json")
    try:
        config = json.loads((folder / "config.json").read_text())
    except ValueError as error:
        raise DataError(f"{folder / 'config.json'} is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise DataError(f"{folder / 'config.json'} holds no mapping")
    if "auto_map" in config:
        raise DataError(f"{folder} needs code of its own (auto_map in config.json), which is not run")
    if not list(folder.glob("*.safetensors")):
        pickled = [path.name for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt") for path in folder.glob(pattern)]
        if pickled:
            raise DataError(
                f"{folder} has its weights in pickle format ({pickled[0]}), which can run code. Convert them where you "
                "trust them: load the model and call save_pretrained, which writes safetensors"
            )
        raise DataError(f"{folder} has no weights: no *.safetensors file")
    for path in folder.glob("*.safetensors"):
        if path.stat().st_size < 200 and path.read_bytes().startswith(b"version https://git-lfs"):
            raise DataError(f"{path} is a Git LFS pointer, not the weights; run: git lfs pull")
    if not any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise DataError(f"{folder} has no tokenizer: no tokenizer.json, tokenizer.model or vocab.json")
