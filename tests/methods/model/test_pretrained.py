"""The model slot `pretrained`: it takes what is safe to load, and says in one line why it does not take the rest."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from selfimprove.errors import DataError, EngineError, MissingError, RecipeError
from selfimprove.inference import chat
from selfimprove.interfaces import GREEDY
from selfimprove.loop import provenance
from selfimprove.loop.begin import create
from selfimprove.loop.loop import Runner
from selfimprove.methods.engine.fake import Fake
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.model.pretrained import Pretrained, check_folder
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.methods.task.jsonl import JsonlTask
from selfimprove.problems.answers import mark
from selfimprove.problems.splits import SPLITS, split_of
from selfimprove.recipe.compose import load
from selfimprove.records import Checkpoint, Prompt
from selfimprove.safety import weight_files


@pytest.fixture
def build(tmp_path, quiet_log):
    """`build(path)`: the checkpoint that the recipe's model.pretrained.path=PATH gives."""
    return lambda path: Pretrained(path=str(path)).build(ChainSums(), Fake(), tmp_path / "step", 0, quiet_log)


@pytest.fixture
def copy(llama, tmp_path) -> Path:
    return Path(shutil.copytree(llama, tmp_path / "copy"))


def refused(build, path: Path | str, kind: type[Exception], *words: str) -> None:
    with pytest.raises(kind) as caught:
        build(path)
    assert type(caught.value) is kind
    for word in (str(path), *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_good_folder_is_used_where_it_lies(build, llama, tmp_path):
    checkpoint = build(llama)
    assert (checkpoint.path, checkpoint.base, checkpoint.adapter) == (str(llama.resolve()), None, False)
    assert not (tmp_path / "step").exists(), "nothing is copied"


def test_a_relative_path_and_one_from_the_home_folder_become_absolute(build, llama, monkeypatch):
    monkeypatch.chdir(llama.parent)
    assert build("./llama").path == str(llama.resolve())
    monkeypatch.setenv("HOME", str(llama.parent))
    assert build("~/llama").path == str(llama.resolve())


def test_a_link_is_followed(build, llama, tmp_path):
    (tmp_path / "link").symlink_to(llama)
    assert build(tmp_path / "link").path == str(llama.resolve())


def test_weights_in_several_files_are_taken(copy):
    (copy / "model.safetensors").rename(copy / "model-00001-of-00001.safetensors")
    check_folder(copy)


@pytest.mark.parametrize("name", ["tokenizer.model", "vocab.json"])
def test_other_tokenizer_files_are_taken(name, copy):
    (copy / "tokenizer.json").rename(copy / name)
    check_folder(copy)


def test_a_missing_folder(build, tmp_path):
    refused(build, tmp_path / "nowhere", MissingError)
    refused(build, "./nowhere", MissingError)
    refused(build, "nowhere", MissingError)
    refused(build, "a/b/c", MissingError)


def test_a_hub_id_without_a_network(build, monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # it was read when the package was imported
    refused(build, "nobody/no-such-model-1b", EngineError, "model.pretrained.path")


def test_a_folder_without_a_config(build, copy):
    (copy / "config.json").unlink()
    refused(build, copy, DataError, "config.json")


def test_a_file_is_no_folder(build, copy):
    refused(build, copy / "config.json", DataError, "config.json")


def test_a_config_that_is_not_json(build, copy):
    for content in (b"{", b"\xff\xfe{"):
        (copy / "config.json").write_bytes(content)
        refused(build, copy, DataError, "config.json", "not JSON")


def test_a_config_that_is_no_mapping(build, copy):
    (copy / "config.json").write_text("[]")
    refused(build, copy, DataError, "config.json")


def test_code_in_the_folder_is_not_run(build, copy):
    config = copy / "config.json"
    values = {**json.loads(config.read_text()), "auto_map": {"AutoModelForCausalLM": "modeling_x.Model"}}
    config.write_text(json.dumps(values))
    (copy / "modeling_x.py").write_text("raise SystemExit('this was run')")
    refused(build, copy, DataError, "auto_map")


def test_a_folder_without_weights(build, copy):
    (copy / "model.safetensors").unlink()
    refused(build, copy, DataError, "no weights", "safetensors")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt"])
def test_pickled_weights_are_refused(name, build, copy):
    (copy / "model.safetensors").rename(copy / name)
    refused(build, copy, DataError, name, "pickle", "save_pretrained")


def test_pickled_weights_beside_safe_ones_do_no_harm(build, copy):
    (copy / "pytorch_model.bin").write_bytes(b"not read")
    assert build(copy).path == str(copy.resolve())


def test_a_pointer_of_git_lfs_is_not_the_weights(build, copy):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 123\n"
    (copy / "model.safetensors").write_text(pointer)
    refused(build, copy, DataError, "Git LFS", "git lfs pull")


def test_a_folder_without_a_tokenizer(build, copy):
    (copy / "tokenizer.json").unlink()
    refused(build, copy, DataError, "tokenizer")


def test_mistrals_folders_are_read_by_the_files_that_transformers_has(build, copy):
    shutil.copy(copy / "model.safetensors", copy / "consolidated.safetensors")
    (copy / "tekken.json").write_text("{}")
    (copy / "params.json").write_text("{}")
    before = weight_files.tensors_of(copy)
    assert {tensor.path.name for tensor in before.values()} == {"model.safetensors"}
    assert len(chat.tokenizer_of(Path(build(copy).path))) == 300
    (copy / "model.safetensors").unlink()
    refused(build, copy, DataError, "consolidated.safetensors", "fetch model.safetensors")
    (copy / "consolidated.safetensors").rename(copy / "model.safetensors")
    (copy / "tokenizer.json").unlink()
    refused(build, copy, DataError, "tekken.json only", "fetch tokenizer.json")


def test_a_model_without_a_chat_template_is_used_and_said_so_once(build, copy, tmp_path, quiet_log, monkeypatch):
    assert Pretrained(path=str(copy)).preflight() == []
    (copy / "chat_template.jinja").unlink()
    [remark, missing] = Pretrained(path=str(copy)).preflight()
    assert "no chat template" in remark and "plain text" in remark and "\n" not in remark
    assert "the tokenizer has <|assistant|>" in missing and "model.pretrained.chat_template" in missing
    build(copy)
    assert quiet_log.notes == []
    monkeypatch.setattr(Pretrained, "_download", lambda self: copy)
    assert Pretrained(path="some/model").preflight() == []
    build("some/model")
    assert quiet_log.notes == [remark, missing], "of a model from the hub nothing is known before"
    config = copy / "tokenizer_config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text()), "chat_template": "{{ messages[0].content }}<|end|>"})
    )
    assert Pretrained(path=str(copy)).preflight() == []


# ---- the chat template -------------------------------------------------------------------------------------------
TEMPLATE = (
    "{{ strftime_now('%Y') }}{% for one in messages %}<|user|>{{ one.content }}{% endfor %}{{ '' if quick else eos_token }}"
    "{% if quick %}quick{% endif %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def prompt_in(folder: str) -> str:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    talk = [{"role": "user", "content": "Hi"}]
    return tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)


def test_the_run_has_a_folder_with_the_arguments_and_the_date_of_its_template(copy, tmp_path, quiet_log):
    (copy / "chat_template.jinja").write_text(TEMPLATE)
    before = provenance.content(copy)
    model = Pretrained(path=str(copy), chat_template_kwargs={"quick": True}, date="2001-02-03")
    assert model.preflight() == []
    made = model.build(ChainSums(), Fake(), tmp_path / "step", 0, quiet_log)
    assert Path(made.path) == tmp_path / "step" / "model" and provenance.content(copy) == before
    assert prompt_in(made.path) == "2001<|user|>Hiquick<|assistant|>"
    assert (Path(made.path) / "model.safetensors").read_bytes() == (copy / "model.safetensors").read_bytes()
    assert quiet_log.notes == ["the chat template shows the date: in this run it is always 2001-02-03"]
    check_folder(Path(made.path), thorough=True)


def test_a_template_of_ones_own_takes_the_place_of_the_model_s(copy, tmp_path, quiet_log):
    own = tmp_path / "own.jinja"
    own.write_text("{% for one in messages %}<|user|>{{ one.content }}!{% endfor %}{# <|end|> #}")
    config = copy / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "chat_template": "{{ 1 }}"}))
    model = Pretrained(path=str(copy), chat_template=str(own))
    assert model.preflight() == []
    assert prompt_in(model.build(ChainSums(), Fake(), tmp_path / "step", 0, quiet_log).path) == "<|user|>Hi!"
    for text, words in (("{{ messages.append(1) }}", "must not"), (None, "cannot be read")):
        own.unlink() if text is None else own.write_text(text)
        with pytest.raises((DataError, MissingError), match=words):
            model.preflight()


@pytest.mark.parametrize("options", [{"chat_template_kwargs": {"quik": True}}, {"date": "tomorrow"}])
def test_an_argument_or_a_day_that_cannot_be_is_refused_before_the_run(options, copy):
    with pytest.raises((DataError, RecipeError), match="quik|tomorrow"):
        Pretrained(path=str(copy), **options).preflight()


def test_a_run_writes_down_the_day_on_which_it_begins(copy, tmp_path):
    overrides = ["model=pretrained", f"model.pretrained.path={copy}", "model.pretrained.chat_template_kwargs.content=1"]
    folder = create("quickstart", overrides, tmp_path / "run")
    noted = json.loads((folder.root / "environment.json").read_text())["settings"]["model"]["pretrained"]
    assert noted["date"] == datetime.date.today().isoformat() and noted["chat_template_kwargs"] == {"content": 1}
    assert load(folder.root / "recipe.yaml")[1]["model"]["pretrained"] == noted


# ---- a whole run -------------------------------------------------------------------------------------------------
@pytest.mark.runs
def test_a_round_of_rest_em_from_a_folder_and_a_file(copy, tmp_path, quiet_log):
    """The references of every other problem are what the model says, so its accuracy at the start is known.

    A text that is cut off has no answer, so a token that the random weights often draw is an end token here.
    """
    _often_drawn_ends(copy)
    questions = [f"what is {i} + 5?" for i in range(300)]
    engine = Transformers(max_completion_length=8)
    prompts = [Prompt(prompt=[{"role": "user", "content": text}]) for text in questions]
    groups = engine.sample(Checkpoint(path=str(copy)), prompts, 1, GREEDY, 0, quiet_log)
    texts = [group[0].text for group in groups]
    readable = [text.isprintable() and mark("exact", text, text) == 1.0 for text in texts]
    answers = [text if i % 2 and readable[i] else "\\boxed{never said}" for i, text in enumerate(texts)]
    data = tmp_path / "data.jsonl"
    rows = [{"prompt": text, "answer": answer} for text, answer in zip(questions, answers, strict=True)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = JsonlTask(path=str(data))
    said = dict(zip(questions, texts, strict=True))
    problems = [prompt for split in SPLITS for prompt in task.problems(split, None, 0)]
    known = {prompt.key: task.verify(prompt, said[prompt.key]) for prompt in problems}
    assert set(known.values()) == {0.0, 1.0}

    folder = create(
        "rest_em",
        [
            *("model=pretrained", f"model.pretrained.path={copy}"),
            *("task=jsonl", f"task.jsonl.path={data}"),
            *("rounds=1", "gate_problems=12", "sealed_problems=12", "reward=random"),
            *("acquisition.seed_prompts.problems=12", "acquisition.rejection_sampling.samples=2"),
            "engine.transformers.max_completion_length=8",
            *("optimization.sft.max_steps=2", "optimization.sft.per_device_train_batch_size=4"),
        ],
        tmp_path / "run",
    )
    summary = Runner(folder, quiet_log).run()
    assert summary["rounds"] == 1 and summary["sealed"]["n"] == 12
    for who, number, stage in (("champion", 0, "evaluation"), ("start", 1, "sealed")):
        scores = json.loads((folder.step(number, stage) / f"{who}.json").read_text())["scores"]
        assert scores == {key: known[key] for key in scores}
        assert {split_of(key) for key in scores} == {"gate" if stage == "evaluation" else "sealed"}
    gates = [set(json.loads((folder.step(i, "evaluation") / "champion.json").read_text())["scores"]) for i in (0, 1)]
    assert len(gates[0]) == 12 and not gates[0] & gates[1]
    [line] = [line for line in summary["per_round"] if line["round"] == 1]
    assert line["acquisition/records"] == 24 and 0 < line["selection/kept"] <= 24
    assert check_folder(folder.step(1, "optimization") / "model") is None


def _often_drawn_ends(folder: Path) -> None:
    place = folder / "generation_config.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "eos_token_id": [1, 215]}))


# ---- folders from strangers ----------------------------------------------------------------------------------------
def test_an_architecture_that_does_not_exist_is_one_clear_line(copy, quiet_log):
    config = copy / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "model_type": "nollama"}))
    check_folder(copy, thorough=True)
    with pytest.raises(DataError, match="cannot be loaded: .*nollama") as caught:
        Transformers().sample(Checkpoint(path=str(copy)), [Prompt(prompt=[])], 1, GREEDY, 0, quiet_log)
    assert "\n" not in str(caught.value)
