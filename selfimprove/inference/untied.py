"""A model folder with tied embeddings as one whose output head is a weight of its own, for vLLM to reload.

vLLM 0.31 reloads tied weights wrongly without an error, and untied ones right. The folder has links to the files of the
model, a config that says that nothing is tied, and the embedding once more as the head.
"""

from __future__ import annotations

import json
from pathlib import Path

from selfimprove.safety.weight_files import CONFIG, mapping, tensors_of

HEADS = {"model.embed_tokens.weight": "lm_head.weight", "transformer.wte.weight": "lm_head.weight"}
"""Names of an embedding in the files of language models, and of the head that it is tied to."""
WHOLE, BODY, OWN = "model.safetensors", "untied-body.safetensors", "untied-head.safetensors"
"""Weights in one file get another name, because readers do not look for an index beside the usual one."""


def untie(folder: Path, made: Path) -> bool:
    """Write the folder `made`; False if the model is of a kind whose weights have other names, such as one that sees.

    The head takes as much room on disk as the embedding.
    """
    from safetensors import safe_open
    from safetensors.torch import save_file

    named, config = tensors_of(folder), mapping(folder / "config.json", CONFIG)
    embedding = next((name for name in HEADS if name in named), "")
    if not embedding or "text_config" in config:
        return False
    head, places = HEADS[embedding], dict[str, str]()
    for shard in sorted(folder.glob("*.safetensors")):
        with safe_open(shard, "pt") as file:
            own = [name for name in file.keys() if name in named]  # noqa: SIM118  # a file of safetensors is no mapping
            places |= dict.fromkeys(own, BODY if shard.name == WHOLE else shard.name)
            if embedding in own and head not in named:
                save_file({head: file.get_tensor(embedding)}, made / OWN, {"format": "pt"})
    places.setdefault(head, OWN)
    for file in folder.iterdir():
        if file.is_file() and file.name not in ("config.json", "model.safetensors.index.json"):
            (made / (BODY if file.name == WHOLE else file.name)).symlink_to(file.resolve())
    (made / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    (made / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return True
