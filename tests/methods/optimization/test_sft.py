"""`sft`: what it trains on and from where; the training itself is tested in test_training.py."""

from dataclasses import replace
from pathlib import Path

import pytest

from selfimprove.errors import EngineError, RecipeError
from selfimprove.methods.optimization.sft import Sft
from selfimprove.recipe import checks, compose
from selfimprove.records import Checkpoint, Document, write_records
from selfimprove.training import Lora


@pytest.fixture
def trained(monkeypatch):
    """Records the calls to the trainer instead of training."""
    calls = []

    def sft(job, rows, *peak, **options):
        calls.append((job.start, list(rows), job.schedule))
        return Checkpoint(path=str(job.folder))

    monkeypatch.setattr("selfimprove.training.sft", sft)
    return calls


def test_restart_and_data(trained, make_context, make_rollout, tmp_path):
    old, new = make_rollout(text="old"), make_rollout(text="new")
    before = tmp_path / "before"
    before.mkdir()
    write_records(before / "data.jsonl", [old])
    given = replace(make_context(), previous=before)
    Path(given.folder).mkdir(parents=True, exist_ok=True)
    Sft(restart="base", data="newest").optimize([new], given)
    Sft(restart="last", data="all_rounds").optimize([new], given)
    assert trained[0][:2] == (given.start, [new])
    assert trained[1][:2] == (given.policy.checkpoint, [old, new])


def test_rounds_that_kept_no_data_are_left_out_and_named(trained, make_context, make_rollout, tmp_path):
    """A run that went over to all_rounds, as `resume --accept-changes` allows: it piles up from there on."""
    first, then = make_rollout(text="round 2"), make_rollout(text="round 3")
    (tmp_path / "before").mkdir()
    (tmp_path / "step3").mkdir()
    given = replace(make_context(), round=2, previous=tmp_path / "before")
    Sft(data="all_rounds").optimize([first], given)
    assert given.log.notes == ["round 1 stored no training data, so the data of rounds before 2 is left out"]
    later = replace(given, round=3, previous=given.folder, folder=tmp_path / "step3")
    Sft(data="all_rounds").optimize([then], later)
    assert [rows for _, rows, _ in trained] == [[first], [first, then]] and len(given.log.notes) == 1


def test_star_s_growth_of_steps(trained, make_context, make_rollout):
    given = replace(make_context(), round=3)
    Sft(max_steps=40, max_steps_growth=1.2).optimize([make_rollout(text="x")], given)
    assert trained[0][2].max_steps == round(40 * 1.2**2)


@pytest.mark.parametrize(
    "options", [{"restart": "best"}, {"data": "some"}, {"loss_type": "mse"}, {"packing": True, "max_length": 0}]
)
def test_unknown_choices_are_refused(options):
    with pytest.raises(RecipeError):
        Sft(**options)


def test_dft_multiplies_the_loss_of_a_token_by_its_probability(setting, questions, say, small, one_step: dict):
    """Of -log p and -p log p: at a learning rate of 0 both losses follow from the scores of the engine."""
    import math

    from selfimprove.methods.engine.transformers import Transformers

    rows = [say(prompt, f"Answer: {place}.") for place, prompt in enumerate(questions[:4])]
    scores = [score for one in Transformers().logprobs_of(small, rows) for score in one]
    wanted = {"nll": -sum(scores), "dft": -sum(score * math.exp(score) for score in scores)}
    for loss_type, total in wanted.items():
        given = setting(loss_type)
        Sft(loss_type=loss_type, **one_step).optimize(rows, given)
        assert given.log.metrics["train/loss"] == pytest.approx(total / len(scores), abs=1e-3)


# ---- without padding -----------------------------------------------------------------------------------------------
WAYS = [{"padding_free": True}, {"packing": True, "max_length": 100}, {"packing": True, "max_length": 1}]


@pytest.mark.long
@pytest.mark.parametrize("loss_type", ["nll", pytest.param("dft", marks=pytest.mark.runs)])
def test_rows_that_lie_end_to_end_have_the_loss_of_padded_ones(setting, questions, say, small, loss_type):
    """At a learning rate of 0 the loss is a mean over all tokens of all rows: none is cut, none sees another row."""
    rows = [say(prompt, f"Answer: {place}.") for place, prompt in enumerate(questions)]
    losses, filled = [], []
    for place, way in enumerate([{}, *WAYS]):
        given = setting(f"{loss_type}{place}")
        options = {"loss_type": loss_type, "per_device_train_batch_size": 12, "learning_rate": 0.0, "max_steps": 10}
        Sft(**options, **way).optimize(rows, given)
        losses.append(given.log.metrics["train/loss"])
        filled.append(given.log.metrics.get("train/packed_rows"))
    assert losses[1:] == pytest.approx([losses[0]] * 3, abs=1e-4)
    lengths = tokens_of(small, rows)
    assert max(lengths) < 100 and filled[:2] == [None, None]
    assert sum(lengths) / 100 <= filled[2] < len(rows)
    assert sum(lengths) / max(lengths) <= filled[3] < len(rows)


def tokens_of(checkpoint, rollouts):
    from transformers import AutoTokenizer

    from selfimprove.inference.chat import completions_ids, prompts_ids

    words = AutoTokenizer.from_pretrained(checkpoint.path)
    asked = prompts_ids(words, [rollout.prompt.prompt for rollout in rollouts])
    said = completions_ids(words, [rollout.completion for rollout in rollouts], [True] * len(rollouts))
    return [len(one) + len(other) for one, other in zip(asked, said, strict=True)]


@pytest.mark.runs
def test_a_packed_training_learns_and_repeats(setting, questions, say):
    from selfimprove.methods.engine.transformers import Transformers

    rows = [say(prompt, f"Answer: {place}.") for place, prompt in enumerate(questions)]

    def likelihood(checkpoint):
        return sum(sum(score) for score in Transformers().logprobs_of(checkpoint, rows))

    options = {"packing": True, "max_length": 200, "per_device_train_batch_size": 2, "learning_rate": 5e-3}
    first, again = setting("first"), setting("again")
    made = Sft(**options, max_steps=40).optimize(rows, first)
    assert likelihood(made) > 0.3 * likelihood(first.start)  # both are negative
    same = Sft(**options, max_steps=40).optimize(rows, again)
    assert (Path(made.path) / "model.safetensors").read_bytes() == (Path(same.path) / "model.safetensors").read_bytes()


def test_a_model_that_mixes_rows_is_refused_before_it_trains(setting, questions, say, llama_like, tmp_path):
    given = setting()
    mixing = Checkpoint(path=str(llama_like(tmp_path / "mamba", kind="mamba", template=True)))
    with pytest.raises(RecipeError, match=r"log-probabilities change by .*\(mamba\).*set packing: false"):
        Sft(packing=True, max_steps=1).optimize([say(questions[0], "8")], replace(given, start=mixing))
    assert not (given.folder / "model").exists()


@pytest.mark.parametrize(
    ("package", "options", "message"),
    [
        ("liger_kernel", {"use_liger_kernel": True}, r"pip install 'selfimprove\[liger\]'"),
        ("bitsandbytes", {"lora": Lora(r=8, load_in_4bit=True)}, "pip install bitsandbytes"),
    ],
)
def test_a_package_that_is_missing_is_named_before_the_run(monkeypatch, package, options, message):
    composed, _ = compose.load("quickstart")
    checks.preflight(composed)
    monkeypatch.setattr("selfimprove.needs.find_spec", lambda name: None if name == package else name)
    with pytest.raises(EngineError, match=message):
        checks.preflight(replace(composed, optimization={"sft": Sft(**options)}))


def test_liger_without_a_gpu_is_refused(monkeypatch, setting, questions, say):
    monkeypatch.setattr("selfimprove.training.options.find_spec", lambda name: name)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(EngineError, match="use_liger_kernel needs a CUDA GPU; set use_liger_kernel: false"):
        Sft(use_liger_kernel=True, max_steps=1).optimize([say(questions[0], "8")], setting())


# ---- documents -----------------------------------------------------------------------------------------------------
def document_loss(small, rows):
    """The mean -log p of all tokens after the first of each row, by a plain forward pass."""
    import torch
    from transformers import AutoModelForCausalLM

    model, total, count = AutoModelForCausalLM.from_pretrained(small.path).eval(), 0.0, 0
    for ids in rows:
        with torch.no_grad():
            logprobs = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        total -= logprobs.gather(-1, torch.tensor(ids[1:])[:, None]).sum().item()
        count += len(ids) - 1
    return total / count


@pytest.mark.parametrize("packing", [False, pytest.param(True, marks=pytest.mark.runs)])
def test_documents_are_learned_with_all_of_their_tokens(setting, small, one_step, packing):
    from transformers import AutoTokenizer

    texts = ["the quick brown fox", "2 + 2 = 4, and <|im_end|> is no end", "a"]
    words, given = AutoTokenizer.from_pretrained(small.path), setting("documents")
    records = [Document(text=text) for text in texts]
    Sft(packing=packing, max_length=200, **one_step).optimize(records, given)
    rows = [[*tokens_of_text(words, text), words.eos_token_id] for text in texts]
    assert given.log.metrics["train/loss"] == pytest.approx(document_loss(small, rows), abs=1e-3)
    assert given.log.metrics["train/documents"] == 3 and given.log.metrics["train/documents_split"] == 0


def tokens_of_text(words, text):
    from selfimprove.inference.foreign import tokens_of

    [ids] = tokens_of(words, [text])
    assert words.eos_token_id not in ids  # a control token's name is text
    return ids


@pytest.mark.parametrize(("split", "rows"), [(True, [3, 3, 2]), (False, [3])])
def test_a_document_longer_than_a_row_is_split_or_cut_and_its_end_is_learned_once(split, rows, small):
    from transformers import AutoTokenizer

    from selfimprove.inference.rows import document_rows

    words = AutoTokenizer.from_pretrained(small.path)
    ids = tokens_of_text(words, "abcdefg")
    assert len(ids) == 7
    [made] = document_rows(words, ["abcdefg"], 3, split)
    assert [len(row.ids) for row in made] == rows
    assert [token for row in made for token in row.ids] == [*ids, words.eos_token_id][: sum(rows)]
    assert all(row.labels == row.ids for row in made)  # this tokenizer sets no start token
    assert document_rows(words, [""], 3, split) == [[]]  # one token teaches nothing


def test_the_start_token_of_a_tokenizer_is_a_prompt_and_each_part_has_it():
    from selfimprove.inference.rows import document_rows

    class Words:
        bos_token_id, eos_token_id, chat_template, is_fast = 1, 2, None, False

        def __call__(self, texts, add_special_tokens=False):
            ids = [[*([1] if add_special_tokens else []), *(ord(letter) for letter in text)] for text in texts]
            return {"input_ids": ids}

    [made] = document_rows(Words(), ["ABCDE"], 4)
    assert [row.ids for row in made] == [[1, 65, 66, 67], [1, 68, 69, 2]]
    assert [row.labels for row in made] == [[-100, 65, 66, 67], [-100, 68, 69, 2]]
