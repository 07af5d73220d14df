"""Model folders from a stranger: looked at before anything is loaded, and taken or refused by one line.

The files of a small folder are spoiled: numbers of the config, headers of the weights, tokenizers, chat templates in
all the places where transformers looks for them, pipes and links.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from selfimprove.errors import UserError
from selfimprove.inference import memory
from selfimprove.inference.templates import template_of
from selfimprove.safety.chat_templates import has_template
from selfimprove.safety.model_files import check_folder
from selfimprove.safety.model_form import check_form
from selfimprove.trials import fuzz
from selfimprove.trials.rehearsal import TOKENIZER

CODES = (65, 66, 74)
CONFIG = {
    **{"model_type": "llama", "vocab_size": 8, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1},
    **{"intermediate_size": 4, "max_position_embeddings": 64, "eos_token_id": 0, "architectures": ["LlamaForCausalLM"]},
}
SHAPES = {
    "model.embed_tokens.weight": [8, 4],
    "lm_head.weight": [8, 4],
    "model.layers.0.self_attn.q_proj.weight": [4, 4],
}
ODD: list[Any] = [
    *(None, True, 0, -1, 1, 3, 10**9, 10**30, 10**400, 0.5, 1e308, float("nan"), float("inf"), "", "x", "a/b"),
    *("a\x00b", "\ud800", "a" * 5000, [], [1], [[]], {}, {"auto_map": {"A": "b.C"}}, {"_attn_implementation": "e/x"}),
]
KEYS = ["num_labels", "head_dim", "r", "id2label", "quantization_config", "text_config", "auto_map", "rope_scaling"]
TEMPLATES: list[Any] = [
    "{% for m in messages %}{{ m.content }}{% endfor %}",
    *("{# nothing #}", "", "{% for %}", "{{ x.__class__ }}", "{{ messages[9].content }}", "{{ 'a' * 300000 }}"),
    *("{{ raise_exception('no') }}", "{{ messages | tojson }}", "\ud800{{ messages }}", "{{ (" + "(" * 300),
]
PARTS: list[tuple[str, Any]] = [
    ("normalizer", {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}),
    ("normalizer", {"type": "Replace", "pattern": {"Regex": "("}, "content": ""}),
    ("normalizer", {"type": "Prepend", "prepend": "a" * 500}),
    ("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}] * 3}),
    ("pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}),
    ("pre_tokenizer", {"type": "Digits", "individual_digits": True}),
    ("decoder", {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 900}),
    ("decoder", {"type": "Fuse"}),
    ("post_processor", {"type": "TemplateProcessing", "single": [], "pair": [], "special_tokens": {}}),
    ("padding", {"strategy": {"Fixed": 10**10}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "a"}),
    ("added_tokens", [{"id": 10**12, "content": "x"}]),
    ("model", {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}),
    ("model", {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 9}),
    *[("version", value) for value in ("9.9", 3, None)],
]
WAYS: dict[str, Callable[[Path, Path], object]] = {
    "pipe": lambda path, outside: os.mkfifo(path),
    "link": lambda path, outside: path.symlink_to(outside),
    "circle": lambda path, outside: path.symlink_to(path.name),
    "folder": lambda path, outside: path.mkdir(),
    "device": lambda path, outside: path.symlink_to("/dev/zero"),
    "nothing": lambda path, outside: None,
    "deep": lambda path, outside: path.write_bytes(b'{"a":' * 20_000),
    "bytes": lambda path, outside: path.write_bytes(bytes(range(256))),
}


def files(draw: random.Random) -> dict[str, bytes]:
    """The files of a folder, some of them spoiled."""
    config, tokenizer = dict[str, Any](CONFIG), dict[str, Any](TOKENIZER)
    head, at = dict[str, Any](), 0
    for name, shape in SHAPES.items():
        end = at + 4 * shape[0] * shape[1]
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    made: dict[str, Any] = {}
    for _ in range(draw.choice([0, 1, 1, 2])):
        match draw.choice(["config", "config", "head", "head", "tokenizer", "template", "generation"]):
            case "config":
                config[draw.choice([*config, *KEYS])] = draw.choice(ODD)
            case "head":
                entry = draw.choice([*head])
                part = draw.choice(["dtype", "shape", "data_offsets"])
                if isinstance(head[entry], dict):
                    head[entry] = {**head[entry], part: draw.choice([*ODD, [0, 0], [-4, 4], [4, 10**18], "I8", "BF16"])}
                if draw.random() < 0.2:
                    head[draw.choice(["x", "", "__metadata__"])] = draw.choice([head[entry], *ODD])
            case "tokenizer":
                name, part = draw.choice(PARTS)
                tokenizer[name] = part
            case "template":
                form = draw.choice(["file", "config", "list", "mapping", "odd", "folder"])
                text = draw.choice(TEMPLATES)
                count, name = draw.randint(1, 2), draw.choice(["default", "default", "rag", 1])
                named = [{"name": name, "template": text}] * count
                said = {"config": text, "list": named, "mapping": {"default": text}, "odd": draw.choice(ODD)}
                if form in said:
                    made["tokenizer_config.json"] = {"chat_template": said[form]}
                else:
                    place = "chat_template.jinja" if form == "file" else "additional_chat_templates/default.jinja"
                    made[place] = text.encode(errors="replace")
            case _:
                made["generation_config.json"] = {draw.choice(["eos_token_id", "temperature"]): draw.choice(ODD)}
                name = draw.choice(["eos_token", "added_tokens_decoder", "tokenizer_class", "model_max_length"])
                odd = draw.choice([*ODD, {"0": {"content": "x"}}, {"\u00b2": {"content": "x"}}, {"content": "a"}])
                made.setdefault("tokenizer_config.json", {name: odd})
    header = json.dumps(head).encode()
    length = draw.choice([len(header)] * 9 + [0, len(header) - 1, 2**40])
    made |= {"config.json": config, "tokenizer.json": tokenizer}
    made["model.safetensors"] = struct.pack("<Q", length) + header + struct.pack("<f", 1.5) * (at // 4)
    return {name: data if isinstance(data, bytes) else json.dumps(data).encode() for name, data in made.items()}


@contextlib.contextmanager
def _open(scratch: Path) -> Iterator[fuzz.Try]:
    outside = scratch / "outside"
    outside.write_text("{}")

    def attempt(draw: random.Random) -> str:
        folder, way = scratch / "model", ""
        folder.mkdir()
        try:
            made = files(draw)
            for name, data in made.items():
                (folder / name).parent.mkdir(exist_ok=True)
                (folder / name).write_bytes(data)
            if draw.random() < 0.2:
                path = folder / draw.choice([*made, "tokenizer_config.json", "model.safetensors.index.json"])
                path.unlink(missing_ok=True)
                way = draw.choice([*WAYS])
                WAYS[way](path, outside)
            with fuzz.shown((way, {name: data[:300] for name, data in made.items()})):
                try:
                    check_folder(folder, thorough=True)
                    check_form(folder, template_of(folder) if has_template(folder) else "")
                    memory.need(folder)
                except UserError as error:
                    return fuzz.refused(error, CODES)
            return "taken"
        finally:
            shutil.rmtree(folder)

    yield attempt


BORDER = fuzz.Border(
    promise="a model folder from a stranger is looked at, and taken or refused, before it is loaded",
    open=_open,
    in_ci=60,
)
