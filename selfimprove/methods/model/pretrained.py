"""A Hugging Face model: a local folder or a hub id.

Idea: start the loop from existing weights.
Survey: none.
Paper: none.
Algorithm:
  1. Check the folder before a run begins, see `safety/model_files.py`: safetensors only, no code, consistent sizes.
  2. Read all weights once: no NaN, no infinity, no matrix of zeros.
  3. Use the folder in place; it is not copied into the run.
Differs: nothing to compare with.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from selfimprove.errors import EngineError, MissingError
from selfimprove.interfaces import REQUIRED, Engine, Log, Model, Task
from selfimprove.records import Checkpoint
from selfimprove.registry import register
from selfimprove.safety.model_files import check_folder, has_template

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""The form of a hub id."""
PLAIN = "the model has no chat template: a prompt is plain text, its messages with a blank line between them"


@register("pretrained")
@dataclass
class Pretrained(Model):
    path: str = REQUIRED
    """A local `save_pretrained` folder, or a hub id such as Qwen/Qwen3-0.6B."""

    def preflight(self) -> list[str]:
        if not (local := self._local()):
            return []
        check_folder(local)
        return [] if has_template(local) else [PLAIN]

    def build(self, task: Task, engine: Engine, folder: Path, seed: int, log: Log) -> Checkpoint:
        local = self._local() or self._download()
        check_folder(local, thorough=True)
        if not (self._local() or has_template(local)):  # of a local folder it was said before the run
            log.note(PLAIN)
        return Checkpoint(path=str(local.resolve()))

    def _local(self) -> Path | None:
        """The folder that the path names; None if it is a hub id.

        Raises:
            MissingError: the path is neither.
        """
        local = Path(self.path).expanduser()
        if local.exists():
            return local
        if not _HUB.fullmatch(self.path):
            raise MissingError(f"model.pretrained.path: there is no folder {self.path!r}")
        return None

    def _download(self) -> Path:
        from huggingface_hub import snapshot_download

        allowed = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
        try:
            return Path(snapshot_download(self.path, allow_patterns=allowed))
        except Exception as error:
            raise EngineError(
                f"{self.path!r} is not a local folder and could not be fetched from the hub: "
                f"{str(error).splitlines()[0]}. Give model.pretrained.path a local folder to work offline"
            ) from error
