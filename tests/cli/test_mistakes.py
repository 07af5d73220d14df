"""Fifty mistakes that users make, each with the line and the exit code that answer it, before a model is loaded.

The numbers are those of a fixed list, so a mistake that this tool cannot be given has its reason here instead.
"""

from __future__ import annotations

import json
import signal
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from selfimprove.cli import main
from selfimprove.recipe import checks, compose
from selfimprove.trials.rehearsal import TOKENIZER

pytestmark = pytest.mark.faults

ROOT = Path(__file__).resolve().parents[2]
NAN = ("F32", (4, 4), struct.pack("<16f", *[float("nan")] * 16))
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 99\n"
KEY = "sk-" + "a1B2" * 8


@dataclass
class Desk:
    """What a case is made of: each method writes files and gives the words of a command."""

    root: Path
    make_model: Callable[..., Path]
    make_run: Callable[..., Any]

    def recipe(self, text: str | bytes, *words: str, name: str = "mine.yaml") -> list[str]:
        path = self.root / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return ["check", name, *words]

    def data(self, rows: list[Any], *words: str, name: str = "data.jsonl", fill: int = 0) -> list[str]:
        """A data file: `fill` good rows behind the given ones."""
        lines = [*rows, *({"prompt": f"problem number {i}", "answer": "A"} for i in range(fill))]
        texts = [
            row if isinstance(row, bytes) else row.encode() if isinstance(row, str) else dumped(row) for row in lines
        ]
        (self.root / name).write_bytes(b"\n".join(texts) + b"\n")
        return ["check", "rest_em", "task=jsonl", f"task.jsonl.path={name}", *words]

    def model(self, **changes: Any) -> list[str]:
        return ["eval", str(self.make_model(**changes))]

    def changed_run(self) -> list[str]:
        folder, _ = self.make_run("rounds=1")
        path = folder.root / "recipe.yaml"
        path.write_text(path.read_text().replace("gate_problems: 100", "gate_problems: 90"))
        return ["resume", str(folder.root)]


def dumped(row: Any) -> bytes:
    return json.dumps(row).encode()


@dataclass
class Mistake:
    number: int
    what: str
    words: Callable[[Desk], list[str]]
    code: int
    said: str


@dataclass
class Elsewhere:
    """A mistake that cannot be made here, or one that another test makes."""

    number: int
    what: str
    why: str
    test: str = ""
    """file::name of the test."""


def fixed(*words: str) -> Callable[[Desk], list[str]]:
    return lambda desk: list(words)


def row(prompt: Any, answer: Any = "A") -> dict[str, Any]:
    return {"prompt": prompt, "answer": answer}


TABLE: list[Mistake | Elsewhere] = [
    # ---- recipes ---------------------------------------------------------------------------------------------------
    Mistake(1, "no such file", fixed("check", "quikstart"), 66, "Did you mean 'quickstart'?"),
    Mistake(1, "no such file in a folder", fixed("check", "no/such.yaml"), 66, "no recipe file 'no/such.yaml'"),
    Mistake(
        2, "a folder", fixed("check", "folder"), 66, "folder is a folder, not a recipe file; name one of the files"
    ),
    Mistake(2, "binary", lambda d: d.recipe(b"a: \xff"), 2, "is not a UTF-8 text file (byte 0xff at offset 3)"),
    Mistake(
        2, "UTF-16", lambda d: d.recipe("a: 1".encode("utf-16")), 2, "not a UTF-8 text file (byte 0xff at offset 0)"
    ),
    Mistake(2, "a NUL byte", lambda d: d.recipe("rounds: 3\0\n"), 2, "is not a text file (character 0x00 at offset 9)"),
    Mistake(3, "syntax", lambda d: d.recipe("rounds: [1\nseed: 2\n"), 2, "mine.yaml:2:5: not a recipe: expected"),
    Mistake(3, "a tab", lambda d: d.recipe("gate:\n\tratchet: 1\n"), 2, "indent with spaces, not with tabs"),
    Mistake(
        *(4, "no such type of numbers", fixed("check", "quickstart", "engine.transformers.dtype=float99")),
        *(2, "dtype: 'float99' cannot be used; it takes auto, "),
    ),
    Mistake(4, "an empty file", lambda d: d.recipe(""), 2, "is not a mapping; a recipe starts with `defaults:`"),
    Mistake(4, "a list", lambda d: d.recipe("- a\n"), 2, "is not a mapping; a recipe starts with `defaults:`"),
    Mistake(5, "an unknown key", lambda d: d.recipe("roundz: 3\n"), 2, "unknown key 'roundz'. Did you mean 'rounds'?"),
    Mistake(
        5,
        "an unknown option",
        lambda d: d.recipe("optimization: {sft: {lerning_rate: 1}}\n"),
        2,
        "optimization 'sft' has no option 'lerning_rate'. Did you mean 'learning_rate'?",
    ),
    Mistake(6, "a key twice", lambda d: d.recipe("seed: 1\nseed: 2\n"), 2, "key 'seed' appears twice; first in line 1"),
    Mistake(
        7,
        "1e-4 is a number",
        lambda d: ["run", *d.recipe("optimization: {sft: {learning_rate: 1e-4}}\n")[1:], "--dry-run"],
        0,
        "learning_rate: 0.0001",
    ),
    Mistake(
        8,
        "012 is no octal number",
        lambda d: d.recipe("seed: 012\n"),
        2,
        "seed: found '012' (a text), expected a whole number; without the leading zero it is 12",
    ),
    Mistake(
        8,
        "3.10 where a text is wanted",
        lambda d: d.recipe("defaults: [task: jsonl]\ntask: {jsonl: {path: 3.10}}\n"),
        2,
        "task.jsonl.path: found 3.1 (a number), expected a text; put it in quotes",
    ),
    Mistake(
        9,
        "a word for a number",
        lambda d: d.recipe("rounds: eight\nseed: [1]\n"),
        2,
        "rounds: found 'eight' (a text), expected a whole number; seed: found [1] (a list), expected a whole number",
    ),
    Mistake(
        10,
        "NaN",
        lambda d: d.recipe("optimization: {sft: {learning_rate: .nan}}\n"),
        2,
        "is nan; write a finite number",
    ),
    Mistake(
        10,
        "out of range",
        lambda d: d.recipe("acquisition: {rejection_sampling: {temperature: -1, top_p: 2}}\n"),
        2,
        "temperature is -1.0; it must be 0 to 100; acquisition.rejection_sampling.top_p is 2.0; it must be 0 to 1",
    ),
    Mistake(10, "negative rounds", fixed("check", "quickstart", "rounds=-1"), 2, "rounds is -1; it must be at least 0"),
    Mistake(
        11,
        "stages that do not fit",
        fixed("check", "quickstart", "optimization=dpo"),
        2,
        "optimization 'dpo' takes Preference records. These fit between them: ",
    ),
    Mistake(
        12,
        "a required key is missing",
        fixed("check", "quickstart", "model=pretrained"),
        2,
        "model.pretrained.path is required: add model.pretrained.path=VALUE",
    ),
    Mistake(13, "a reference", lambda d: d.recipe("seed: ${rounds}\n"), 2, "seed: '${rounds}' is an interpolation"),
    Mistake(
        14, "the environment", lambda d: d.recipe("seed: ${oc.env:HOME}\n"), 2, "Recipes read neither the environment"
    ),
    Mistake(
        15, "_target_", lambda d: d.recipe("gate: {_target_: os.system}\n"), 2, "recipes cannot name Python objects"
    ),
    Mistake(
        15, "a tag", lambda d: d.recipe("seed: !!python/name:os.system\n"), 2, "recipes cannot name Python objects"
    ),
    Mistake(15, "hydra", lambda d: d.recipe("hydra: {searchpath: [x]}\n"), 2, "key 'hydra' is not allowed"),
    Mistake(
        16, "anchors", lambda d: d.recipe("a: &x [1]\nb: [*x, *x]\n"), 2, "anchors and aliases are not used in recipes"
    ),
    Mistake(16, "depth", lambda d: d.recipe("a: " + "[" * 60 + "]" * 60), 2, "at most 10000 values in 50 levels"),
    Mistake(16, "values", lambda d: d.recipe("a: [" + "1," * 10_001 + "]"), 2, "at most 10000 values in 50 levels"),
    Mistake(16, "bytes", lambda d: d.recipe("#" * 1_000_001), 2, "is larger than 1 MB; a recipe has about 25 lines"),
    Mistake(
        17, "a name", lambda d: [*d.recipe("rounds: 1\n", name="-rf x.yaml")[:1], "./-rf x.yaml"], 2, "rename the file"
    ),
    Mistake(17, "a long path", fixed("check", "x" * 300), 66, "cannot read"),
    Mistake(
        18,
        "a full folder",
        fixed("run", "quickstart", "--out", "."),
        74,
        "exists and is not empty. Choose another --out",
    ),
    Mistake(19, "no place for a folder", fixed("run", "quickstart", "--out", "file/run"), 74, "a file is in the way"),
    Mistake(
        20,
        "a key",
        lambda d: d.recipe(f"defaults: [task: jsonl]\ntask: {{jsonl: {{system_prompt: {KEY}}}}}\n"),
        2,
        "task.jsonl.system_prompt contains what looks like a key. Remove it",
    ),
    Mistake(20, "a key as override", fixed("check", "quickstart", f"seed={KEY}"), 2, "contains what looks like a key"),
    Mistake(21, "a method", lambda d: d.recipe("defaults: [reward: verifer]\n"), 2, "Did you mean 'verifier'?"),
    Elsewhere(
        22,
        "a newer schema",
        "recipes have no schema version: what an older version does not know is an unknown key (5)",
    ),
    Mistake(
        23, "an override", fixed("check", "quickstart", "roundz=3"), 2, "unknown key 'roundz'. Did you mean 'rounds'?"
    ),
    Mistake(23, "a list", fixed("check", "quickstart", "rounds=[1,2]"), 2, "rounds"),
    Mistake(
        24, "an include", lambda d: d.recipe("defaults: [other]\n"), 2, "cannot read 'other' in defaults; write `- slot"
    ),
    Mistake(
        24,
        "a URL",
        lambda d: d.recipe("defaults: [https://x/y.yaml]\n"),
        2,
        "cannot read 'https://x/y.yaml' in defaults",
    ),
    Elsewhere(
        25,
        "no GPU",
        "a device is looked for with torch, which other mistakes do without",
        "tests/cli/test_mistakes.py::test_a_device_that_is_not_here_stops_a_run_and_is_a_remark_of_check",
    ),
    # ---- data ------------------------------------------------------------------------------------------------------
    Mistake(
        26,
        "no data",
        fixed("check", "rest_em", "task=jsonl", "task.jsonl.path=x"),
        66,
        "task.jsonl.path: the file /",
    ),
    Mistake(27, "bad JSON", lambda d: d.data([row("a"), "{oops"]), 65, "data.jsonl:2: not a JSON object: '{oops'"),
    Mistake(
        28, "a column", lambda d: d.data([{"prmpt": "a", "answer": 1}]), 65, "no column 'prompt'. Did you mean 'prmpt'?"
    ),
    Mistake(29, "too few", lambda d: d.data([row("a"), row("b")]), 65, "a run needs a few hundred problems"),
    Mistake(30, "a type", lambda d: d.data([row("a", [1])]), 65, "'answer' must be a text or a number, not [1]"),
    Mistake(30, "null", lambda d: d.data([row(None)]), 65, "'prompt' is empty"),
    Mistake(30, "null answers", lambda d: d.data([row("q", None)], fill=99), 0, "1 problems without an answer"),
    Mistake(31, "duplicates", lambda d: d.data([row("q"), row("q")], fill=99), 0, "1 duplicates dropped"),
    Mistake(
        31,
        "overlap",
        lambda d: d.data([row(f"say {i}{sign}") for i in range(99) for sign in (".", "!", "?", "")]),
        65,
        "are worded like a training problem",
    ),
    Mistake(32, "a long row", lambda d: d.data([row("x" * 1_000_000)]), 65, "data.jsonl:1: a row of more than 1 MB"),
    Mistake(
        33,
        "half a character",
        lambda d: d.data(['{"prompt": "a\\ud800b", "answer": "A"}'], fill=99),
        0,
        "1 rows with control",
    ),
    Mistake(33, "no UTF-8", lambda d: d.data([b'{"prompt": "\xe9"}']), 65, "data.jsonl:1: not UTF-8 text"),
    Mistake(
        34, "an archive", lambda d: d.data([b"\x1f\x8b\x08"]), 65, "is a gzip archive; write its rows as UTF-8 text"
    ),
    Mistake(35, "a pickle", lambda d: d.data([b"\x80\x04\x95"]), 65, "is a pickle, which can run code; write its rows"),
    Mistake(
        35,
        "a script",
        lambda d: [*d.data(["x"])[:3], "task.jsonl.path=load.py"],
        65,
        "data sets with code are not run",
    ),
    Elsewhere(
        36,
        "tests that the reference fails",
        "every reference must pass its own task's rule",
        "tests/problems/test_gold.py::test_a_wrong_reference_is_named_with_what_the_rule_said",
    ),
    Mistake(
        37,
        "answers that the rule cannot read",
        lambda d: d.data(
            [row("q", "Paris")] * 1 + [row(f"r{i}", "Rome") for i in range(9)], "task.jsonl.verifier=choice"
        ),
        65,
        "the verifier 'choice' cannot read 10 of 10 answers, for example 'Paris'",
    ),
    # ---- checkpoints and run folders -------------------------------------------------------------------------------
    Mistake(38, "no model", fixed("eval", "."), 65, "is not a model folder: it has no config.json"),
    Mistake(
        39,
        "pickled weights",
        lambda d: d.model(files={"model.safetensors": None, "pytorch_model.bin": b"\x80\x04."}),
        65,
        "has its weights in pickle format (pytorch_model.bin), which can run code",
    ),
    Mistake(
        40,
        "a missing shard",
        lambda d: d.model(files={"model.safetensors.index.json": '{"weight_map": {"a": "model-2.safetensors"}}'}),
        65,
        "names 'model-2.safetensors', which is missing; fetch it",
    ),
    Mistake(
        40,
        "cut off",
        lambda d: d.model(files={"model.safetensors": b"\x99\0\0\0\0\0\0\0{"}),
        65,
        "is truncated or not a safetensors file: 9 bytes",
    ),
    Mistake(
        41, "remote code", lambda d: d.model(auto_map={"AutoModel": "x.Y"}), 65, "needs code of its own (auto_map in"
    ),
    Mistake(
        42, "the vocabulary", lambda d: d.model(vocab_size=9), 65, "has a vocabulary of 9, the embedding has 8 rows"
    ),
    Mistake(42, "the tokenizer", lambda d: d.model(files={"tokenizer.json": None}), 65, "has no tokenizer"),
    Mistake(
        42,
        "another model's tokenizer",
        lambda d: d.model(files={"tokenizer.json": json.dumps({"model": {**TOKENIZER["model"], "vocab": {"a": 8}}})}),
        65,
        "1 tokens of the tokenizer, up to 8, are not among the 8 of the model; it belongs to another",
    ),
    Mistake(43, "NaN", lambda d: d.model(tensors={"model.layers.0.x": NAN}), 65, "NaN or infinity in model.layers.0.x"),
    Mistake(
        43,
        "zeros",
        lambda d: d.model(tensors={"model.embed_tokens.weight": ("F32", (8, 4), bytes(128))}),
        65,
        "nothing but zeros in model.embed_tokens.weight",
    ),
    Mistake(
        44,
        "an adapter",
        lambda d: d.model(files={"adapter_config.json": '{"base_model_name_or_path": "a/base"}'}),
        65,
        "is an adapter of 'a/base', not a whole model; merge it into its base",
    ),
    Elsewhere(
        45,
        "an unknown architecture",
        "transformers says so when it reads the config, before any weight",
        "tests/methods/model/test_pretrained.py::test_an_architecture_that_does_not_exist_is_one_clear_line",
    ),
    Mistake(46, "absurd sizes", lambda d: d.model(hidden_size=10**9), 65, "describes a model of at least 2 EB"),
    Mistake(
        46, "absurd counts", lambda d: d.model(num_hidden_layers=10**6), 65, "claims 1,000,000 for num_hidden_layers"
    ),
    Mistake(
        47,
        "an LFS pointer",
        lambda d: d.model(files={"model.safetensors": POINTER}),
        65,
        "is a Git LFS pointer (127 bytes)",
    ),
    Mistake(48, "no run", fixed("resume", "."), 66, "is not a run folder: it lacks recipe.yaml or environment.json"),
    Mistake(49, "a changed recipe", lambda d: d.changed_run(), 2, "gate_problems was 100, is 90"),
    Elsewhere(
        50,
        "eval of a run folder",
        "it scores the champion, whose folder heads the table",
        "tests/studies/test_evaluate.py::test_a_run_stands_for_its_champion_on_its_own_task_and_for_its_start",
    ),
]


def test_every_number_is_there() -> None:
    assert sorted({case.number for case in TABLE}) == list(range(1, 51))


@pytest.mark.parametrize(
    "case", [case for case in TABLE if isinstance(case, Elsewhere) and case.test], ids=lambda c: c.what
)
def test_what_is_tested_elsewhere_is(case: Elsewhere) -> None:
    path, _, name = case.test.partition("::")
    assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def called(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str, str]:
    """Exit code, output and errors of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["selfimprove", *words])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit) as left:
        main.main()
    shown = capsys.readouterr()
    return int(left.value.code or 0), shown.out, shown.err


@pytest.mark.parametrize(
    "case", [case for case in TABLE if isinstance(case, Mistake)], ids=lambda case: f"{case.number}, {case.what}"
)
def test_a_mistake_is_answered_by_one_line_and_its_exit_code(
    case: Mistake,
    tmp_path: Path,
    make_model: Callable[..., Path],
    make_run: Callable[..., Any],
    composed_once: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("file", "load.py"):
        (tmp_path / name).write_text("x")
    words = case.words(Desk(tmp_path, make_model, make_run))
    before = set(sys.modules)
    code, out, err = called(words, monkeypatch, capsys)
    assert (code, case.said in " ".join((out + err).split())) == (case.code, True), out + err
    assert "Traceback" not in out + err and KEY not in out + err
    if code:
        assert err.startswith("error: ") and err.count("\n") == 1 and len(err) < 1000 and err[:-1].isprintable()
    assert not {"torch", "transformers"} & (set(sys.modules) - before), "a mistake costs no heavy import"


# ---- what engines and launchers need ------------------------------------------------------------------------------
ENDPOINT = ("engine=openai", "engine.openai.model=m", "model=pretrained", "model.pretrained.path=a/b")
HERE, THERE = "engine.openai.base_url=http://127.0.0.1:9/v1", "engine.openai.base_url=https://x.invalid/v1"
NEEDS = {
    "no vLLM": (["engine=vllm"], "", "engine.vllm needs vLLM >=0.31,<0.32 and it is not installed: pip install"),
    "another vLLM": (["engine=vllm"], "0.9.2", "engine.vllm needs vLLM >=0.31,<0.32 and found 0.9.2: pip install"),
    "no ray": (["launcher=ray"], "", "needs the package ray: pip install 'selfimprove[ray]'"),
    "no key": ([*ENDPOINT, HERE, "engine.openai.api_key_env=MY_KEY"], "", "the environment variable MY_KEY is not set"),
    "a host": ([*ENDPOINT, THERE], "", "If you trust this host, allow it: SELFIMPROVE_ENDPOINTS=x.invalid"),
}


@pytest.mark.parametrize(("words", "vllm", "said"), NEEDS.values(), ids=NEEDS)
def test_what_an_engine_or_a_launcher_lacks_is_said_before_there_is_a_run_folder(
    words: list[str],
    vllm: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MY_KEY", raising=False)
    monkeypatch.setattr(
        "selfimprove.inference.vllm_process._version", lambda package: vllm if package == "vllm" else ""
    )
    monkeypatch.setattr("selfimprove.methods.launcher.ray.find_spec", lambda package: None)
    before = set(sys.modules)
    for command in ("check", "run"):
        code, out, err = called([command, "quickstart", *words], monkeypatch, capsys)
        assert (code, said in err, err.count("\n"), out) == (69, True, 1, "")
    assert not list(tmp_path.iterdir())
    assert not {"torch", "transformers", "vllm", "ray"} & (set(sys.modules) - before)


@pytest.mark.parametrize(
    ("words", "vllm", "said"),
    [
        (["engine.transformers.device=cuda:1"], "", "has no cuda devices, the recipe asks for 'cuda:1'; `auto` takes"),
        (["engine=vllm"], "0.31.2", "engine.vllm: this machine has no GPU for vLLM 0.31.2: set engine=transformers"),
    ],
    ids=["transformers", "vllm"],
)
def test_a_device_that_is_not_here_stops_a_run_and_is_a_remark_of_check(
    words: list[str],
    vllm: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(
        "selfimprove.inference.vllm_process._version", lambda package: vllm if package == "vllm" else ""
    )
    code, _, err = called(["run", "quickstart", *words], monkeypatch, capsys)
    assert (code, said in err, err.count("\n")) == (69, True, 1)
    assert not list(tmp_path.iterdir()), "no run folder is left"
    code, out, err = called(["check", "quickstart", *words], monkeypatch, capsys)
    assert (code, "not on this machine: " in out and said in out, err) == (0, True, "")
    monkeypatch.setattr("selfimprove.methods.launcher.ray.find_spec", lambda package: "found")
    remarks = checks.preflight(compose.load("quickstart", ["launcher=ray", *words])[0])
    assert any(said in remark for remark in remarks), "the machine of a cluster that runs the step may have it"
