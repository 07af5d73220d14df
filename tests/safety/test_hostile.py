"""Recipes, model folders, data and run folders that somebody made to do harm.

Each is refused with its exit code and one line. The canary file that the payloads try to write never appears, nothing
asks the network, and no model is loaded.
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import signal
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.cli import commands, main
from selfimprove.errors import DataError
from selfimprove.loop.loop import Runner
from selfimprove.safety import chat_templates, limited, template_worker
from selfimprove.safety.model_files import check_folder
from selfimprove.store.seal import sha256, signed
from selfimprove.trials.rehearsal import TOKENIZER

pytestmark = pytest.mark.faults

PACKAGE = Path(commands.__file__).parents[1]
CODES = {2, 65, 66, 74}


class Payload:
    """Unpickling it writes the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return (open, (str(self.canary), "w"))


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that no payload may write; beside it, a network that nobody may ask."""

    def refuse(*_: Any) -> None:
        raise AssertionError("something asked the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return tmp_path / "canary"


@pytest.fixture
def refused(
    canary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[list[str], str], str]:
    """`refused(words, said)`: the command ends with a documented code and one line that holds `said`."""

    def call(words: list[str], said: str) -> str:
        monkeypatch.setattr(sys, "argv", ["selfimprove", *words])
        loaded = set(sys.modules)
        with pytest.raises(SystemExit) as left:
            main.main()
        shown = capsys.readouterr()
        assert left.value.code in CODES, shown.err
        assert shown.err.startswith("error: ") and shown.err.count("\n") == 1 and shown.err[:-1].isprintable(), (
            shown.err
        )
        assert said in shown.err and len(shown.err) < 1200 and "Traceback" not in shown.err, shown.err
        assert not canary.exists() and not {"torch", "transformers"} & (set(sys.modules) - loaded)
        return shown.err

    return call


# ---- recipes -------------------------------------------------------------------------------------------------------
BOMB = "\n".join(f"k{i}: &a{i} [{','.join([f'*a{i - 1}' if i else 'x'] * 9)}]" for i in range(9))
RECIPES: dict[str, tuple[str, str]] = {
    "target": ("reward: {verifier: {_target_: os.system, command: touch canary}}\n", "'_target_' is not allowed"),
    "target at the top": ("_target_: builtins.open\n", "'_target_' is not allowed"),
    "partial": ("gate: {ratchet: {_partial_: true}}\n", "'_partial_' is not allowed"),
    "args": ("gate: {ratchet: {_args_: [canary, w]}}\n", "'_args_' is not allowed"),
    "target in a list": ("evaluation: {pass_at_k: {k: [{_target_: os.system}]}}\n", "'_target_' is not allowed"),
    "target in defaults": ("defaults: [{_target_: os.system}]\n", "'_target_' is not allowed"),
    "apply": ("seed: !!python/object/apply:os.system ['touch canary']\n", "recipes cannot name Python objects"),
    "new": ("seed: !!python/object/new:type {}\n", "recipes cannot name Python objects"),
    "name": ("seed: !!python/name:os.system\n", "recipes cannot name Python objects"),
    "module": ("seed: !!python/module:os\n", "recipes cannot name Python objects"),
    "own tag": ("seed: !include /etc/passwd\n", "recipes cannot name Python objects"),
    "verbatim tag": ("seed: !<tag:yaml.org,2002:python/object/apply:os.system> [x]\n", "recipes cannot name Python"),
    "tag directive": ("%TAG ! tag:yaml.org,2002:python/\n---\nseed: !name:os.system\n", "recipes cannot name Python"),
    "binary tag": ("seed: !!binary aGVsbG8=\n", "recipes cannot name Python objects"),
    "environment": ("seed: ${oc.env:HOME}\n", "Recipes read neither the environment"),
    "environment in a key": ("${oc.env:HOME}: 1\n", "Recipes read neither the environment"),
    "resolver": ("model: {tiny: {position: '${oc.decode:${oc.env:HOME}}'}}\n", "is an interpolation"),
    "now resolver": ("seed: ${now:%Y}\n", "is an interpolation"),
    "reference": ("seed: ${rounds}\n", "is an interpolation"),
    "hydra": ("hydra: {job: {chdir: true}}\n", "key 'hydra' is not allowed"),
    "searchpath": ("hydra: {searchpath: ['file:///tmp']}\n", "key 'hydra' is not allowed"),
    "override of hydra": ("defaults: [{override hydra/launcher: x}]\n", "no slot is called 'override hydra/launcher'"),
    "absolute include": ("defaults: [/etc/passwd]\n", "cannot read '/etc/passwd' in defaults"),
    "url include": ("defaults: ['https://example.org/x.yaml']\n", "in defaults; write `- slot: method`"),
    "package": ("defaults: [{'reward@_global_': verifier}]\n", "no slot is called 'reward@_global_'"),
    "a method by path": ("defaults: [{reward: ../../canary}]\n", "no reward is called '../../canary'"),
    "a method by module": ("defaults: [{reward: os.system}]\n", "no reward is called 'os.system'"),
    "bomb": (BOMB, "anchors and aliases are not used"),
    "merge bomb": ("a: &a {x: 1}\nb: {<<: *a}\n", "anchors and aliases are not used"),
    "depth": ("a: " + "{a: " * 4000 + "}" * 4000, "50 levels"),
    "long number": ("seed: " + "9" * 100_000, "not a recipe"),
    "huge rounds": ("rounds: 99999999999999999999\n", "it must be"),
    "two documents": ("rounds: 1\n---\nseed: ${x}\n", "another document"),
    "escape sequences": ('roundz: 1\n"\\e]52;c;eA==\\a": 1\n', "unknown key"),
    "markup": ("'[red]rounds[/red]': 1\n", "unknown key '[red]rounds[/red]'"),
    "key": ("task: {chain_sums: {level: AKIAABCDEFGHIJKLMNOP}}\n", "contains what looks like a key"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe(name: str, refused: Callable[[list[str], str], str], tmp_path: Path) -> None:
    text, said = RECIPES[name]
    (tmp_path / "mine.yaml").write_text(text)
    message = refused(["check", "mine.yaml"], said)
    assert os.environ["HOME"] + " " not in message and "AKIAABCDEFGHIJKLMNOP" not in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml"], "nothing is written"


@pytest.mark.parametrize(
    "override",
    [
        *("hydra.run.dir=/tmp", "+x=1", "++seed=1", "~gate", "seed=${oc.env:HOME}", "reward._target_=os.system"),
        *(
            "reward.verifier._target_=os.system",
            "seed=sk-abcdefghijklmnopqrstuvwx",
            "reward@x=verifier",
            "--config-dir=/",
        ),
    ],
)
def test_an_override(override: str, refused: Callable[[list[str], str], str]) -> None:
    refused(["check", "quickstart", "--", override], "")


# ---- model folders -------------------------------------------------------------------------------------------------
def tensors(**given: Any) -> bytes:
    """A safetensors file with this header and 64 bytes."""
    text = json.dumps(given).encode()
    return struct.pack("<Q", len(text)) + text + b"\x3f" * 64


def entry(begin: Any = 0, end: Any = 64, shape: Any = (4, 4), kind: Any = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}


def weights(content: bytes) -> dict[str, Any]:
    return {"files": {"model.safetensors": content}}


def template(text: str) -> dict[str, Any]:
    return {"files": {"chat_template.jinja": text}}


GOOD = {"name": "default", "template": "{{ messages }}"}


def templates_in_config(given: Any) -> dict[str, Any]:
    return {"files": {"tokenizer_config.json": json.dumps({"chat_template": given})}}


def tokenizer(**parts: Any) -> dict[str, Any]:
    return {"files": {"tokenizer.json": json.dumps({**TOKENIZER, **parts})}}


MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "auto_map": ({"auto_map": {"AutoConfig": "evil.Config"}, "files": {"evil.py": "open('canary', 'w')"}}, "auto_map"),
    "nested auto_map": ({"text_config": {"auto_map": {"AutoModel": "a/b--evil.Model"}}}, "auto_map"),
    "nested trust": ({"vision_config": {"trust_remote_code": True}}, "trust_remote_code"),
    "internal attention": ({"_attn_implementation_internal": "evil/kernel"}, "_attn_implementation_internal"),
    "attention": ({"attn_implementation": "evil/kernel"}, "attn_implementation"),
    "attention of a part": ({"attn_implementation": {"text_config": "evil/kernel"}}, "attn_implementation"),
    "experts": ({"_experts_implementation": "evil/kernel"}, "_experts_implementation"),
    "kernels": ({"use_kernels": True}, "use_kernels"),
    "tokenizer code": (
        {"files": {"tokenizer_config.json": '{"auto_map": {"AutoTokenizer": ["x.T", null]}}'}},
        "auto_map",
    ),
    "generation code": ({"files": {"generation_config.json": '{"custom_generate": "evil/x"}'}}, "custom_generate"),
    "deep config": ({"files": {"config.json": "[" * 100_000}}, "more than 200 levels"),
    "huge width": ({"hidden_size": 10**12}, "describes a model of at least"),
    "huge vocabulary": ({"vocab_size": 10**12}, "describes a model of at least"),
    "huge depth": ({"num_hidden_layers": 10**7}, "claims 10,000,000"),
    "huge experts": ({"num_local_experts": 10**9}, "claims 1,000,000,000"),
    "more layers": ({"num_hidden_layers": 3}, "describes 3 layers, the weights have 1; they belong to different"),
    "remote adapter": ({"files": {"adapter_config.json": '{"base_model_name_or_path": "evil/base"}'}}, "is an adapter"),
    "adapter alone": (
        {"files": {"config.json": None, "adapter_config.json": '{"base_model_name_or_path": "evil/base"}'}},
        "is an adapter of 'evil/base'",
    ),
    "no header": (weights(b""), "is truncated or not a safetensors file: 0 bytes"),
    "long header": (weights(struct.pack("<Q", 1 << 60) + b"{}"), "is truncated or not a safetensors file"),
    "header is a list": (weights(struct.pack("<Q", 2) + b"[]"), "damaged header"),
    "deep header": (weights(struct.pack("<Q", 90_000) + b"[" * 90_000), "damaged header"),
    "overlap": (weights(tensors(a=entry(0, 64), b=entry(0, 64))), "does not fit its bytes"),
    "hole": (weights(tensors(a=entry(4, 64, [15]))), "does not fit its bytes"),
    "outside": (weights(tensors(a=entry(0, 1 << 50, [1 << 48]))), "its header describes"),
    "negative": (weights(tensors(a=entry(-64, 0))), "damaged header"),
    "fractions": (weights(tensors(a=entry(0.0, 64.0))), "damaged header"),
    "wrong shape": (weights(tensors(a=entry(shape=[4, 5]))), "does not fit its bytes"),
    "no such type": (weights(tensors(a=entry(kind="PICKLE"))), "does not fit its bytes"),
    "cut off": (weights(tensors(a=entry(0, 128, [32]))), "has 64 bytes of weights, its header describes 128"),
    "shard elsewhere": (
        {"files": {"model.safetensors.index.json": '{"weight_map": {"a": "../../secret.safetensors"}}'}},
        "which is not a file of this folder",
    ),
    "index of nothing": ({"files": {"model.safetensors.index.json": '{"weight_map": [1]}'}}, "has no weight_map"),
    "index of a tensor that is not there": (
        {"files": {"model.safetensors.index.json": '{"weight_map": {"x": "model.safetensors"}}'}},
        "names tensors that no file has",
    ),
    "infinity": ({"tensors": {"x": ("F32", (1,), struct.pack("<f", float("inf")))}}, "NaN or infinity in x"),
    "half NaN": ({"tensors": {"x": ("F16", (2,), struct.pack("<2e", 1.0, float("nan")))}}, "NaN or infinity in x"),
    "bfloat NaN": ({"tensors": {"x": ("BF16", (2,), b"\x80\x3f\xc0\x7f")}}, "NaN or infinity in x"),
    "zeros": ({"tensors": {"lm_head.weight": ("F32", (8, 4), bytes(128))}}, "nothing but zeros in lm_head.weight"),
    "template loop": (
        template("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"),
        "the chat template takes more than",
    ),
    "template output": (
        template("{% for i in range(99999) %}aaaaaaaaaa{% endfor %}"),
        "makes more than 200000 characters",
    ),
    "template memory": (template("{{ 'a' * 4000000000 }}"), "the chat template takes more than 1 GiB"),
    "template escape": (
        template("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        "the chat template",
    ),
    "template globals": (
        template("{{ cycler.__init__.__globals__.os.popen('touch canary').read() }}"),
        "the chat template",
    ),
    "template in the tokenizer": (
        {"files": {"tokenizer_config.json": json.dumps({"chat_template": "{{ x.__class__.__base__.y }}"})}},
        "the chat template",
    ),
    "template syntax": (template("{% for %}"), "the chat template cannot be rendered"),
    "template of nothing": (template("{# nothing #}"), "the chat template makes nothing of a conversation"),
    "template that is a number": (templates_in_config(3), "neither a text nor a list of texts with names"),
    "template that is a list of texts": (templates_in_config(["x"]), "neither a text nor a list of texts with names"),
    "template in a mapping": (templates_in_config({"default": "{{ x.__class__.__base__.y }}"}), "the chat template"),
    "templates of one name": (templates_in_config([GOOD, GOOD]), "several chat templates have the same name"),
    "templates without a default": (templates_in_config([{**GOOD, "name": "rag"}]), "none of the chat templates is"),
    "template in a folder": (
        {"files": {"additional_chat_templates/default.jinja": "{{ x.__class__.__base__.y }}"}},
        "the chat template",
    ),
    "templates in a folder": ({"files": {"additional_chat_templates/x.jinja": "x"}}, "none that is used by default"),
    "no layers": ({"num_hidden_layers": 0}, "claims 0 for num_hidden_layers, which must be a whole number above 0"),
    "negative width": ({"hidden_size": -4}, "claims -4 for hidden_size"),
    "labels": ({"num_labels": 10**8}, "claims 100,000,000 for num_labels"),
    "names of labels": ({"id2label": {str(i): "x" for i in range(30_001)}}, "has 30,001 entries in id2label, more"),
    "many digits": ({"head_dim": 10**400}, "for head_dim; refused"),
    "deep generation config": ({"files": {"generation_config.json": '{"a":' * 20_000}}, "more than 200 levels"),
    "deep tokenizer": ({"files": {"tokenizer.json": '{"a":' * 20_000 + "1" + "}" * 20_000}}, "nested too deeply"),
    "no tokenizer at all": ({"files": {"tokenizer.json": "{}"}}, "the tokenizer is not a mapping with a model"),
    "tokenizer that backtracks": (
        tokenizer(
            pre_tokenizer={"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
        ),
        "the tokenizer cannot be used",
    ),
    "tokenizer that grows": (
        tokenizer(decoder={"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 5000}),
        "characters of the tokens of",
    ),
    "tokenizer of steps": (
        tokenizer(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}] * 300}),
        "has a normalizer of more than 200 parts",
    ),
    "tokenizer of a long pattern": (
        tokenizer(normalizer={"type": "Replace", "pattern": {"Regex": r"\p{L}" * 4000}, "content": ""}),
        "has a normalizer with a pattern of more than 10,000 characters",
    ),
    "more tensors than any model": (
        weights(tensors(**{f"t{i}": entry(0, 0, [0]) for i in range(200_001)})),
        "more than 200,000",
    ),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "template loop" else []) for name in MODELS]
)
def test_a_model_folder(name: str, refused: Callable[[list[str], str], str], make_model: Callable[..., Path]) -> None:
    changes, said = MODELS[name]
    refused(["eval", str(make_model(**changes))], said)


def test_pickles_are_not_opened(refused: Callable, make_model: Callable[..., Path], canary: Path) -> None:
    payload = pickle.dumps(Payload(canary))
    pickle.loads(payload).close()  # noqa: S301  the payload works
    canary.unlink()
    folder = make_model(files={"model.safetensors": None, "pytorch_model.bin": payload, "optimizer.pt": payload})
    refused(["eval", str(folder)], "pickle format (pytorch_model.bin), which can run code")
    beside = make_model(
        "beside", files={"optimizer.pt": payload, "rng_state.pth": payload, "training_args.bin": payload}
    )
    check_folder(beside, thorough=True)
    assert not canary.exists(), "pickles beside safe weights are left alone"


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "notes.txt"])
def test_links_out_of_the_folder(name: str, refused: Callable, make_model: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_model()
    place = folder / name
    if place.exists():
        place.rename(tmp_path / name)
    else:
        (tmp_path / name).write_text("private")
    place.symlink_to(tmp_path / name)
    refused(["eval", str(folder)], f"{name} is a link out of the folder")


@pytest.mark.parametrize(
    "name",
    ["config.json", "chat_template.jinja", "model.safetensors", "tokenizer.json", "additional_chat_templates/x.jinja"],
)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(
    name: str, refused: Callable, make_model: Callable[..., Path]
) -> None:
    folder = make_model(files={"chat_template.jinja": "{{ messages }}"})
    (folder / name).unlink(missing_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    refused(["eval", str(folder)], "is a named pipe, not a file")


def test_which_template_is_used(make_model: Callable[..., Path]) -> None:
    """As transformers has it: files go before the config, of several the one called default."""
    in_config = json.dumps({"chat_template": [{"name": "rag", "template": "{{ documents[0].x }}"}, GOOD]})
    folder = make_model(files={"tokenizer_config.json": in_config})
    assert chat_templates.templates(folder)["default"] == (folder / "tokenizer_config.json", GOOD["template"])
    check_folder(folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0] }}")
    assert {name: text for name, (_, text) in chat_templates.templates(folder).items()} == {
        "default": "{{ messages[0] }}"
    }
    folder = make_model("plain", files={"tokenizer_config.json": json.dumps({"chat_template": ""})})
    assert not chat_templates.has_template(folder)


def test_what_was_tried_is_not_tried_again(make_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    check_folder(make_model("one", files={"chat_template.jinja": "{{ messages }}"}))
    monkeypatch.setattr(limited, "ask", lambda *_: pytest.fail("a process was started"))
    check_folder(make_model("two", files={"chat_template.jinja": "{{ messages }}"}))


def test_links_inside_and_into_the_cache_of_the_hub_are_followed(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_model()
    (folder / "model.safetensors").rename(folder / "weights.bytes")
    (folder / "model.safetensors").symlink_to("weights.bytes")
    check_folder(folder)
    cache = tmp_path / "models--a--b"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots").mkdir()
    (cache / "blobs" / "abc").write_bytes((folder / "model.safetensors").read_bytes())
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../../blobs/abc")
    check_folder(folder.rename(cache / "snapshots" / "main"), thorough=True)


def test_what_a_good_folder_may_have(make_model: Callable[..., Path]) -> None:
    zeros = ("F32", (4, 4), bytes(64))
    folder = make_model(
        tensors={
            "model.layers.0.self_attn.o_proj.weight": zeros,
            "model.layers.0.x.bias": ("F32", (4,), bytes(16)),
            "model.layers.0.mlp.experts.gate_up_proj_bias": zeros,  # one row per expert, as in gpt-oss
        },
        files={
            "tokenizer.json": json.dumps(
                {
                    "model": {
                        **TOKENIZER["model"],
                        "vocab": {"a": 0} | {str(i): i % 8 for i in range(200)} | {"image": 8},
                    }
                }
            ),
            "chat_template.jinja": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
        },
        attn_implementation="sdpa",
        auto_map=None,
        _name_or_path="a/b",
    )
    check_folder(folder, thorough=True)


def test_a_template_may_refuse_a_role_and_use_the_usual_helpers() -> None:
    refusing = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ messages | tojson }}"
    )
    assert template_worker.objection(refusing) == ""
    assert template_worker.objection("{{ strftime_now('%d') }}{% for m in messages %}{% break %}{% endfor %}") == ""
    assert "no way" in template_worker.objection("{{ raise_exception('no way') }}")


# ---- data ----------------------------------------------------------------------------------------------------------
DATA: dict[str, tuple[bytes, str]] = {
    "zip": (b"PK\x03\x04" + bytes(99), "is a zip archive"),
    "gzip bomb": (b"\x1f\x8b\x08" + bytes(99), "is a gzip archive"),
    "bzip2": (b"BZh91AY", "is a bzip2 archive"),
    "xz": (b"\xfd7zXZ\0", "is an xz archive"),
    "zstd": (b"\x28\xb5\x2f\xfd\0", "is a zstd archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c", "is a 7z archive"),
    "parquet": (b"PAR1" + bytes(99), "is a parquet file"),
    "arrow": (b"ARROW1\0\0", "is an arrow file"),
    "numpy": (b"\x93NUMPY\1\0", "is a numpy file"),
    "pickle": (pickle.dumps({"prompt": 1}), "is a pickle, which can run code"),
    "UTF-16": ('{"prompt": "a", "answer": "b"}'.encode("utf-16"), "is UTF-16 text"),
    "deep": (b"[" * 100_000, "is a JSON list"),
    "a long row": (b'{"prompt": "' + b"x" * 1_000_001 + b'"}', "a row of more than 1 MB"),
    "a long number": (b'{"prompt": "a", "answer": ' + b"9" * 5000 + b"}", "not a JSON object"),
    "NaN": (b'{"prompt": "a", "answer": NaN}', "NaN is not a JSON value"),
    "a key twice": (b'{"prompt": "a", "answer": "1", "answer": "2"}', "key 'answer' appears twice"),
    "escape sequences": (b"\x1b]52;c;eA==\x07", "not a JSON object"),
    "a secret file": (b"root:x:0:0:root:/root:/bin/bash", "not a JSON object"),
}


@pytest.mark.parametrize("name", DATA)
def test_data(name: str, refused: Callable[[list[str], str], str], composed_once: None, tmp_path: Path) -> None:
    content, said = DATA[name]
    (tmp_path / "data.jsonl").write_bytes(content)
    refused(["check", "rest_em", "task=jsonl", "task.jsonl.path=data.jsonl"], said)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/dev/zero", "is not a file"),
        ("/proc/self/environ", "is not a file"),
        ("folder", "is a folder with a script; data sets with code are not run"),
        ("load.py", "can hold code"),
        ("weights.pt", "can hold code"),
        ("pipe", "is not a file"),
    ],
)
def test_what_is_no_data_file(
    path: str, said: str, refused: Callable[[list[str], str], str], composed_once: None, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("folder/folder.py", "load.py", "weights.pt"):
        (tmp_path / name).write_text("open('canary', 'w')")
    os.mkfifo(tmp_path / "pipe")
    refused(["check", "rest_em", "task=jsonl", f"task.jsonl.path={path}"], said)


# ---- run folders ---------------------------------------------------------------------------------------------------
def stored(name: str, content: bytes | str) -> Callable[[Path], None]:
    """Put a file into a run folder."""

    def put(root: Path) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return put


def tagged(root: Path) -> None:
    path = root / "recipe.yaml"
    path.write_text("x: !!python/object/apply:os.system ['touch canary']\n" + path.read_text())


def linked(name: str) -> Callable[[Path], None]:
    """Put a link to a file of the system in the place of one of the run."""

    def put(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to("/etc/passwd")

    return put


def piped(name: str) -> Callable[[Path], None]:
    """Put a named pipe in the place of a file; whoever opens it to read waits for a writer."""

    def put(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        os.mkfifo(root / name)

    return put


def shared(name: str) -> Callable[[Path], None]:
    """Make a file of the run another name of a file outside."""

    def put(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        (root.parent / "mine").write_text("")
        (root / name).hardlink_to(root.parent / "mine")

    return put


def signed_as(changes: dict[str, Any]) -> Callable[[Path], None]:
    """Change environment.json, and sign it."""

    def put(root: Path) -> None:
        values = json.loads((root / "environment.json").read_text())
        (root / "environment.json").write_text(json.dumps(signed({**values, **changes})))

    return put


def reseeded(root: Path) -> None:
    values = json.loads((root / "environment.json").read_text())
    values["settings"]["seed"] = 9
    (root / "environment.json").write_text(json.dumps(values))


RUNS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "tagged recipe": ("resume", tagged, "recipes cannot name Python objects"),
    "recipe is no text": ("resume", stored("recipe.yaml", b"\x80\x04."), "is not a UTF-8 text file"),
    "environment is no JSON": ("resume", stored("environment.json", "{"), "environment.json is damaged"),
    "environment is a list": ("resume", stored("environment.json", "[]"), "environment.json is damaged"),
    "other settings": ("resume", reseeded, "environment.json is damaged"),
    "ledger of another": ("resume", stored("ledger.jsonl", '{"round": 0, "before": "x", "hash": "y"}\n'), "ledger"),
    "summary is a pickle": ("report", stored("summary.json", b"\x80\x04."), "summary.json is damaged"),
    "deep environment": ("resume", stored("environment.json", "[" * 100_000), "environment.json is damaged"),
    "deep ledger": ("resume", stored("ledger.jsonl", "[" * 100_000 + "\n"), "the ledger was changed"),
    "a round of no number": ("resume", stored("round_x/gate/step.json", "{}"), "round_x does not belong to a run"),
    "recipe elsewhere": ("resume", linked("recipe.yaml"), "recipe.yaml is a symlink"),
    "champion elsewhere": ("eval", linked("champion"), "has no model yet"),
    "summary is deep": ("report", stored("summary.json", "[" * 100_000), "summary.json is damaged"),
    "summary is a list": ("report", stored("summary.json", "[]"), "summary.json is damaged"),
    "summary of nothing": ("report", stored("summary.json", "{}"), "summary.json is damaged"),
    "summary of wrong types": (
        "report",
        stored("summary.json", '{"per_round": 3, "recipe": 1, "seed": [], "verdict": "x"}'),
        "summary.json is damaged",
    ),
    "summary is no JSON": ("report", stored("summary.json", "{"), "summary.json is damaged"),
    **{
        f"{name} is a pipe: {command}": (command, piped(name), "is a named pipe, not a file")
        for command in ("resume", "mark", "eval")
        for name in ("recipe.yaml", "environment.json", "ledger.jsonl")
        if (command, name) != ("eval", "environment.json")
    },
    "summary is a pipe": ("report", piped("summary.json"), "summary.json is a named pipe, not a file"),
    "lock is a pipe": ("resume", piped("LOCK"), "LOCK is a named pipe, not a file"),
    "lock is another file": ("resume", shared("LOCK"), "LOCK is one of 2 hard links"),
    "ledger is another file": ("resume", shared("ledger.jsonl"), "ledger.jsonl is one of 2 hard links"),
    "a round elsewhere": ("resume", lambda root: (root / "round_000").symlink_to("/tmp"), "round_000 is a symlink"),
    "a round is a file": ("resume", stored("round_000", ""), "round_000 is a file"),
    "settings of wrong types": ("resume", signed_as({"settings": {"seed": "x"}}), "settings.seed is a str"),
    "versions of wrong types": ("resume", signed_as({"versions": [1]}), "versions is a list"),
    "accepted of wrong types": ("resume", signed_as({"accepted": [{"round": None}]}), "accepted[0].round is null"),
    "data of a whole disk": (
        "resume",
        signed_as({"data": {"task.jsonl.path": {"path": "/usr", "sha256": "x"}}}),
        "too many for the data of a run",
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_folder(name: str, refused: Callable[[list[str], str], str], make_run: Callable[..., Any]) -> None:
    command, harm, said = RUNS[name]
    folder, _ = make_run("rounds=1")
    harm(folder.root)
    refused([command, str(folder.root)], said)


SUSPECT = (
    "hydra",
    "pickle",
    "dill",
    "shelve",
    "marshal",
    "joblib",
    "eval(",
    "exec(",
    ".load(",
    "trust_remote_code",
    "get_",
)
"""What a file must mention to be worth reading: parsing all of them takes seconds."""


def test_weights_of_a_stored_run_are_looked_through_before_they_are_loaded(
    refused: Callable[[list[str], str], str], make_run: Callable[..., Any], make_model: Callable[..., Path]
) -> None:
    """A stranger can write the checksums of a run as well as its weights."""
    folder, log = make_run(
        "rounds=0", "audit_problems=0", "probe_problems=0", "sealed_problems=20", "control_problems=0"
    )
    Runner(folder, log).run()
    step, evil = folder.step(0, "model"), make_model(attn_implementation="evil/kernel")
    (step / "checkpoint.json").write_text(json.dumps({"path": str(evil)}))
    manifest = json.loads((step / "step.json").read_text())
    size, hashed = (step / "checkpoint.json").stat().st_size, sha256(step / "checkpoint.json")
    manifest["files"]["checkpoint.json"] = {"size": size, "sha256": hashed}
    (step / "step.json").write_text(json.dumps(signed(manifest)))
    refused(["eval", str(folder.root), "--start"], "needs code of its own (attn_implementation in config.json)")
    with pytest.raises(DataError, match="attn_implementation"):
        Runner(folder, log).run(rounds=1)


# ---- the package ---------------------------------------------------------------------------------------------------
def test_nothing_in_the_package_builds_an_object_that_a_file_names() -> None:
    """No hydra.utils, no pickle, no torch.load, no eval or exec: an import or a call of them is a fault here."""
    modules = {"hydra.utils", "pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib"}
    calls = {"eval", "exec", "instantiate", "get_class", "get_method", "unsafe_load", "full_load"}
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "sandbox":  # it runs programs on purpose, in a process that can do no harm
            continue
        text = path.read_text(encoding="utf-8")
        if not any(word in text for word in SUSPECT):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found += [(path.name, alias.name) for alias in node.names if alias.name in modules]
            elif isinstance(node, ast.ImportFrom):
                names = {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
                found += [(path.name, name) for name in names & modules]
            elif isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else None
                attribute = ast.unparse(node.func) if isinstance(node.func, ast.Attribute) else ""
                if called in calls or attribute in ("torch.load", "numpy.load", "yaml.unsafe_load", "pickle.load"):
                    found.append((path.name, called or attribute))
                trusted = [word for word in node.keywords if word.arg == "trust_remote_code"]
                found += [(path.name, "trust_remote_code") for word in trusted if ast.unparse(word.value) != "False"]
    assert found == []


def test_the_versions_that_known_holes_ask_for() -> None:
    """torch.load before 2.6 (CVE-2025-32434), config.json in transformers before 5.3 (CVE-2026-4372)."""
    from importlib.metadata import requires

    from packaging.requirements import Requirement
    from packaging.version import Version

    floors = {"torch": "2.6", "transformers": "5.3", "hydra-core": "1.3"}
    for line in requires("selfimprove") or []:
        wanted = Requirement(line)
        if wanted.name in floors and not wanted.marker:
            floor = next(part.version for part in wanted.specifier if part.operator == ">=")
            assert Version(floor) >= Version(floors.pop(wanted.name))
    assert not floors


def test_what_the_security_page_names_exists() -> None:
    root = PACKAGE.parent
    page = (root / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|scripts|selfimprove)/[\w./]*)`|\]\(([\w./]+)\)", page)
    assert len(named) > 15
    assert [path for pair in named for path in pair if path and not (root / path).exists()] == []
    source = "".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    assert all(name in source for name in re.findall(r"SELFIMPROVE_\w+", page))
