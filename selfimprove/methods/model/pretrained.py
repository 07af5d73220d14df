"""A Hugging Face model: a local folder or a hub id.

Idea: start the loop from existing weights.
Survey: none.
Paper: none.
Algorithm:
  1. Check the folder before a run begins, see `safety/model_files.py`: safetensors only, no code, consistent sizes.
  2. Read all weights once: no NaN, no infinity, no matrix of zeros.
  3. Use the folder in place; it is not copied into the run. With arguments or a date for the chat template, or another
     template, the run has a folder with that template, to which the weights are linked.
Differs: nothing to compare with.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from selfimprove import foreign
from selfimprove.errors import DataError, EngineError, MissingError, RecipeError
from selfimprove.inference.templates import asks_for_date, check_arguments, filled, template_of, with_template
from selfimprove.interfaces import REQUIRED, Engine, Log, Model, Task
from selfimprove.records import Checkpoint
from selfimprove.registry import register
from selfimprove.safety.chat_templates import has_template
from selfimprove.safety.model_files import check_folder
from selfimprove.safety.model_form import check_form
from selfimprove.safety.template_worker import objection
from selfimprove.safety.weight_files import CONFIG

_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""The form of a hub id."""
PLAIN = "the model has no chat template: a prompt is plain text, its messages with a blank line between them"


@register("pretrained")
@dataclass
class Pretrained(Model):
    path: str = REQUIRED
    """A local `save_pretrained` folder, or a hub id such as Qwen/Qwen3-0.6B."""
    chat_template: str | None = None
    """A file with a chat template in place of the model's own."""
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)
    """Arguments of the chat template in every conversation: {enable_thinking: false}, {reasoning_effort: low}."""
    date: str | None = None
    """The day that the chat template shows as today, such as 2026-11-30; null: the day on which the run begins."""

    def preflight(self) -> list[str]:
        self._today()
        if self.chat_template is not None and (wrong := objection(self._own())):
            raise DataError(f"{self.chat_template}: the chat template {wrong}; refused")
        if not (local := self._local()):
            return []
        check_folder(local)
        return self._form(local, self._template(local))

    def build(self, task: Task, engine: Engine, folder: Path, seed: int, log: Log) -> Checkpoint:
        local = self._local() or self._download()
        check_folder(local, thorough=True)
        template = self._template(local)
        for said in [] if self._local() else self._form(local, template):  # of a local one it was said before the run
            log.note(said)
        today = self._today() if asks_for_date(template) else None
        if self.chat_template is None and not self.chat_template_kwargs and today is None:
            return Checkpoint(path=str(local.resolve()))
        if today is not None:
            log.note(f"the chat template shows the date: in this run it is always {today}")
        made = filled(template, self.chat_template_kwargs, today)
        return Checkpoint(path=str(with_template(local, made, folder / "model")))

    def _form(self, local: Path, template: str) -> list[str]:
        """What to say about the form of prompts and completions."""
        plain = [] if has_template(local) or self.chat_template is not None else [PLAIN]
        return plain + check_form(local, template)

    def _template(self, local: Path) -> str:
        """The chat template that the run uses, before its arguments are filled in.

        Raises:
            DataError: it reads none of that name.
        """
        template = template_of(local) if self.chat_template is None else self._own()
        check_arguments(template, self.chat_template_kwargs, "model.pretrained.chat_template_kwargs")
        return template

    def _own(self) -> str:
        """The template in the file that the option names."""
        try:
            return foreign.content(Path(self.chat_template or "").expanduser().resolve(), CONFIG).decode()
        except (OSError, ValueError, RuntimeError, DataError) as error:
            raise MissingError(
                f"model.pretrained.chat_template: {self.chat_template!r} cannot be read as a file of text"
            ) from error

    def _today(self) -> datetime.date | None:
        """The day in the option.

        Raises:
            RecipeError: it is none.
        """
        try:
            return None if self.date is None else datetime.date.fromisoformat(self.date)
        except ValueError as error:
            raise RecipeError(f"model.pretrained.date is {self.date!r}; it must be a day such as 2026-11-30") from error

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
