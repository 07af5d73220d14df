"""`selfimprove doctor --model`: what is found of a model folder, and what will not work."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from selfimprove.cli import main
from selfimprove.errors import MissingError
from selfimprove.studies import model_trials
from selfimprove.studies.model_page import _arguments, page_of, texts_of

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(small_llama: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama.build(tmp_path_factory.mktemp("page") / "llama", template=True)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three prompts of the sixteen."""
    monkeypatch.setattr(model_trials, "PROMPTS", 3)


def quiet(text: str) -> None:
    """Says nothing."""


def test_the_page_of_a_small_model_and_its_tables(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "mine.jsonl"
    data.write_text('{"prompt": "the quick brown", "more": ["fox", 3]}\nplain words here\n')
    assert [*texts_of(data)] == ["the quick brown", "fox", "plain words here"]
    monkeypatch.setattr(sys, "argv", ["selfimprove", "doctor", "--model", str(folder), "--data", str(data), "--json"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    page = json.loads(capsys.readouterr().out)
    assert not ended.value.code and page["trouble"] == [
        {"what": "the context is 128 tokens", "do": "set engine.transformers.max_completion_length below"}
    ]
    found = page["sections"]
    assert found["files"]["architecture"] == "LlamaForCausalLM" and found["files"]["context"] == 128
    assert found["chat"]["role system"] == found["chat"]["role tool"] == found["chat"]["second turn"] == "shown"
    assert found["chat"]["ends"] == ["<|end|>"] and found["chat"]["thinking"] == "no thoughts"
    assert found["tokens"]["words"] == 7 and found["tokens"]["tokens"] > 7
    assert found["agreement"]["greedy as plain transformers"] == [3, 3]
    assert found["agreement"]["alone and in a batch"]["float32"] == [3, 3]
    assert found["speed"]["drawn, 32 rows"] > 0 and found["speed"]["trained, one row"] > 0


def test_what_will_not_work_is_said_with_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingError, match="there is no folder"):
        page_of(tmp_path / "none", None, "auto", quiet)
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / "tokenizer.json").unlink()
    [refused] = page_of(broken, None, "auto", quiet).trouble
    assert refused["what"] == "the folder is refused" and "has no tokenizer" in refused["do"]
    bare = Path(shutil.copytree(folder, tmp_path / "bare"))
    config = json.loads((bare / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(config))
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    whole = page_of(bare, None, "auto", quiet)
    assert "it has no chat template" in [one["what"] for one in whole.trouble]
    monkeypatch.setattr("selfimprove.inference.memory.Need.sampling", lambda *_: 1e15)
    full = page_of(folder, None, "auto", quiet)
    assert full.trouble[0]["what"] == "the weights do not fit into memory" and "agreement" not in full.sections


def test_arguments_of_a_template_are_what_nothing_sets() -> None:
    template = (
        "{% if enable_thinking %}{% set note = 1 %}{% endif %}{{ note }}{% for message in messages %}"
        "{{ message.content }}{% endfor %}{{ strftime_now('%Y') }}{% if tools %}{% endif %}"
    )
    assert _arguments(template) == {"enable_thinking"}
