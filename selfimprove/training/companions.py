"""The files beside the weights: training leaves them as they were found.

What transformers writes of a tokenizer or a config is read by the same version of it; an older one, or another program,
reads what the model was published with. So a trained folder has the start's own files, and differs in the weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

NAMES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "image_processor_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "sentencepiece.bpe.model",
    "special_tokens_map.json",
    "spiece.model",
    "tekken.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "vocab.json",
    "vocab.txt",
)
"""The files, as published models name them; further templates are in additional_chat_templates/."""


def carry(start: Path, folder: Path, dtype: str, end: int | None) -> None:
    """Give a folder of trained weights the files of the model that training started from.

    Two things are changed where they would no longer be true: the weights are not quantized any more, and a turn may
    end with a token that nothing but the chat template names, with which the trained model stops.

    Args:
        dtype: as torch names it; the config says it if it said none.
        end: the token that ends a turn.
    """
    for name in NAMES:
        (folder / name).unlink(missing_ok=True)
        if (start / name).is_file():
            shutil.copyfile(start / name, folder / name)
    if (start / "additional_chat_templates").is_dir():
        shutil.copytree(start / "additional_chat_templates", folder / "additional_chat_templates", dirs_exist_ok=True)
    config = _read(folder / "config.json")
    said = {key: value for key, value in config.items() if key != "quantization_config"}
    if not said.keys() & {"dtype", "torch_dtype"}:
        said["dtype"] = dtype
    _write(folder / "config.json", config, said)
    draws = _read(folder / "generation_config.json")
    ends = draws.get("eos_token_id", config.get("eos_token_id"))
    known = ends if isinstance(ends, list) else [ends] if isinstance(ends, int) else []
    if end is not None and end not in known:
        _write(folder / "generation_config.json", draws, {**draws, "eos_token_id": [*known, end]})


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _write(path: Path, found: dict[str, Any], values: dict[str, Any]) -> None:
    """A file that was right stays as it is, to the byte."""
    if values != found:
        path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
