"""Training against numbers worked out by hand: what the loss is of, that it goes down, that it repeats, that it stops."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from selfimprove import training
from selfimprove.errors import DataError
from selfimprove.inference.chat import prompt_ids
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.records import Checkpoint, Preference, Prompt, Rollout

SUMS = [("what is 3 + 5?", "Answer: 8."), ("what is 12 - 7?", "Answer: 5."), ("3", "the quick brown fox jumps")]


@pytest.fixture(scope="module")
def start(small_llama: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small Llama with random weights and a chat template."""
    return Checkpoint(path=str(small_llama.build(tmp_path_factory.mktemp("start") / "llama", template=True)))


def rollout(question: str, text: str, finish_reason: str = "stop", **info: str) -> Rollout:
    prompt = Prompt(prompt=[{"role": "user", "content": question}], key=question)
    completion = [{"role": "assistant", "content": text}]
    return Rollout(prompt=prompt, completion=completion, info={"finish_reason": finish_reason, **info})


def preference(question: str, better: str, worse: str) -> Preference:
    prompt = Prompt(prompt=[{"role": "user", "content": question}], key=question)
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in (better, worse))
    return Preference(prompt=prompt, chosen=chosen, rejected=rejected)


def schedule(**changes) -> training.Schedule:
    values = {"learning_rate": 1e-2, "max_steps": 10, "lr_scheduler_type": "constant", "per_device_train_batch_size": 4}
    return training.Schedule(**{**values, **changes})


def weights(checkpoint: Checkpoint) -> str:
    return hashlib.sha256((Path(checkpoint.path) / "model.safetensors").read_bytes()).hexdigest()


# ---- supervised fine-tuning --------------------------------------------------------------------------------------
def test_the_loss_is_the_mean_cross_entropy_of_completion_and_end_tokens(start, tmp_path, quiet_log):
    import torch

    rollouts = [*(rollout(*pair) for pair in SUMS), rollout("a", "cut sho", "length")]
    model, tokenizer = training.load(start)
    losses = []
    for one in rollouts:
        prompt = prompt_ids(tokenizer, one.prompt.prompt)
        completion = tokenizer(one.text, add_special_tokens=False)["input_ids"]
        if one.text != "cut sho":  # a truncated completion is not taught to end there
            completion.append(tokenizer.eos_token_id)
        with torch.inference_mode():
            logits = model(torch.tensor([prompt + completion])).logits[0]
        for place, token in enumerate(completion, len(prompt)):
            losses.append(float(torch.nn.functional.cross_entropy(logits[place - 1], torch.tensor(token))))
    assert losses == pytest.approx(
        [-x for score in Transformers().logprobs_of(start, rollouts) for x in score], abs=1e-3
    )
    training.sft(training.Job(start, tmp_path / "out", schedule(learning_rate=0.0), quiet_log), rollouts)
    assert quiet_log.metrics["train/loss"] == pytest.approx(sum(losses) / len(losses), abs=1e-3)


def test_what_is_trained_ends_as_the_template_ends_a_turn(two_ends, tmp_path, quiet_log):
    """Gemma's `<end_of_turn>`; what was drawn with another end token keeps it."""
    import torch

    rows = [rollout("3+5=", "8#8"), rollout("3+5=", "8#8", stop_token="<eos>")]
    model, tokenizer = training.load(two_ends)
    losses = []
    for end in ("~", "<eos>"):
        ids = [tokenizer.convert_tokens_to_ids(token) for token in [*"<user> 3+5=<assistant>8#8", end]]
        with torch.inference_mode():
            logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        losses += [-float(logprobs[place - 1, ids[place]]) for place in range(len(ids) - 4, len(ids))]
    assert abs(losses[3] - losses[7]) > 0.1, "else the test shows nothing"
    training.sft(training.Job(two_ends, tmp_path / "out", schedule(learning_rate=0.0), quiet_log), rows)
    assert quiet_log.metrics["train/loss"] == pytest.approx(sum(losses) / 8, abs=1e-3)


def test_a_model_whose_template_ends_its_turns_otherwise_stops_there_once_it_is_trained(start, tmp_path, quiet_log):
    """Qwen2.5-Base: its template ends a turn with `<|im_end|>`, all of its files name `<|endoftext|>`."""
    folder = Path(shutil.copytree(start.path, tmp_path / "base"))
    template = (folder / "chat_template.jinja").read_text().replace("<|end|>", "<|system|>")
    (folder / "chat_template.jinja").write_text(template)
    trained = training.sft(
        training.Job(Checkpoint(path=str(folder)), tmp_path / "out", schedule(max_steps=1), quiet_log),
        [rollout(*SUMS[0])],
    )
    ends = json.loads((Path(trained.path) / "generation_config.json").read_text())["eos_token_id"]
    assert sorted(ends) == [1, training.load(trained)[1].convert_tokens_to_ids("<|system|>")]


def test_sft_raises_the_log_probability_of_its_targets(start, tmp_path, quiet_log):
    rollouts = [rollout(*pair) for pair in SUMS]
    engine = Transformers()
    before = [sum(score) for score in engine.logprobs_of(start, rollouts)]
    trained = training.sft(training.Job(start, tmp_path / "out", schedule(max_steps=20), quiet_log), rollouts)
    after = [sum(score) for score in engine.logprobs_of(trained, rollouts)]
    assert all(new > old + 5 for new, old in zip(after, before, strict=True)), "by e^5 at least"
    assert quiet_log.metrics["train/steps"] == 20
    assert quiet_log.marks[-1] == (20, 20, "steps")


def test_epochs_and_accumulation_count_as_the_names_say(start, tmp_path, quiet_log):
    rollouts = [rollout(str(i), "8") for i in range(8)]
    plan = schedule(max_steps=-1, num_train_epochs=3, per_device_train_batch_size=2, gradient_accumulation_steps=2)
    training.sft(training.Job(start, tmp_path / "out", plan, quiet_log), rollouts)
    assert quiet_log.metrics["train/steps"] == 3 * 8 / (2 * 2)


def test_a_check_can_stop_the_training(start, tmp_path, quiet_log):
    asked = []

    def check(step, model):
        asked.append((step, model.training))
        return step >= 4

    rows = [rollout(*pair) for pair in SUMS]
    training.sft(training.Job(start, tmp_path / "out", schedule(), quiet_log), rows, check, check_every=2)
    assert asked == [(2, False), (4, False)]
    assert quiet_log.metrics["train/steps"] == 4


def test_the_saved_folder_is_one_that_transformers_loads(start, tmp_path, quiet_log):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = [rollout(*pair) for pair in SUMS]
    trained = training.sft(training.Job(start, tmp_path / "out", schedule(max_steps=2), quiet_log), rows)
    assert trained == Checkpoint(path=str(tmp_path / "out"))
    model, tokenizer = AutoModelForCausalLM.from_pretrained(trained.path), AutoTokenizer.from_pretrained(trained.path)
    old = AutoTokenizer.from_pretrained(start.path)
    assert (tokenizer.chat_template, tokenizer.eos_token_id) == (old.chat_template, old.eos_token_id)
    assert tokenizer.get_vocab() == old.get_vocab()
    assert model.generation_config.eos_token_id in (old.eos_token_id, [old.eos_token_id])
    names = {path.name for path in Path(trained.path).iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth")) and name != "training_args.bin"]


@pytest.mark.runs
def test_a_bfloat16_model_learns_as_its_float32_copy_over_rounds_and_stays_bfloat16(start, tmp_path, quiet_log):
    """Steps that are too small for bfloat16 add up: each round goes on from the float32 weights of the one before."""
    import torch
    from transformers import AutoModelForCausalLM

    from selfimprove.inference import weights

    coarse = AutoModelForCausalLM.from_pretrained(start.path, dtype=torch.bfloat16)
    tokenizer, rows, ends = training.load(start)[1], [rollout(*pair) for pair in SUMS], {}
    for name, model in (("bfloat16", coarse), ("float32", copy.deepcopy(coarse).float())):
        policy = training.save(model, tokenizer, tmp_path / name)
        for number in range(3):
            folder = tmp_path / f"{name}-{number}"
            policy = training.sft(
                training.Job(policy, folder, schedule(learning_rate=1e-6, max_steps=2), quiet_log), rows
            )
        ends[name] = training.load(policy)[0].state_dict()
        ran, _ = weights.load(policy.path, "cpu", "auto")
        assert str(ran.dtype) == f"torch.{name}", "engines run it as they ran the start"
        assert json.loads((Path(policy.path) / "config.json").read_text())["dtype"] == name
    first = coarse.float().state_dict()
    assert all(torch.equal(ends["bfloat16"][key], weight) for key, weight in ends["float32"].items())
    assert any(not torch.equal(first[key], weight) for key, weight in ends["float32"].items())


def test_a_published_generation_config_survives_training(start, tmp_path, quiet_log):
    """Chat models have several end tokens; many have a temperature without do_sample, which cannot be saved as it is."""
    folder = Path(shutil.copytree(start.path, tmp_path / "published"))
    path = folder / "generation_config.json"
    published = {**json.loads(path.read_text()), "eos_token_id": [1, 70], "temperature": 0.6, "do_sample": False}
    path.write_text(json.dumps(published))
    rows = [rollout(*pair) for pair in SUMS]
    training.sft(training.Job(Checkpoint(path=str(folder)), tmp_path / "out", schedule(max_steps=1), quiet_log), rows)
    saved = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (sorted(saved["eos_token_id"]), saved["temperature"]) == ([1, 70], 0.6)


@pytest.mark.runs
def test_the_same_seed_gives_the_same_bytes_and_another_does_not(start, tmp_path, quiet_log):
    rows = [rollout(f"what is {i} + 5?", f"Answer: {i + 5}.") for i in range(12)]
    made = {
        name: weights(
            training.sft(training.Job(start, tmp_path / name, schedule(max_steps=4, seed=seed), quiet_log), rows)
        )
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    }
    assert made["a"] == made["b"] != made["c"]
    assert weights(start) not in made.values()


@pytest.mark.parametrize(("learning_rate", "steps"), [(1e30, 3), (math.inf, 12)])
def test_a_loss_that_is_no_number_saves_nothing(learning_rate, steps, start, tmp_path, quiet_log):
    rows = [rollout(*pair) for pair in SUMS]
    with pytest.raises(DataError, match="learning_rate") as caught:
        training.sft(
            training.Job(start, tmp_path / "out", schedule(learning_rate=learning_rate, max_steps=steps), quiet_log),
            rows,
        )
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("out/*.safetensors"))


def test_infinite_weights_to_start_from_save_nothing(start, tmp_path, quiet_log):
    import torch

    model, tokenizer = training.load(start)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(torch.inf)
    broken = training.save(model, tokenizer, tmp_path / "broken")
    with pytest.raises(DataError):
        training.sft(
            training.Job(broken, tmp_path / "out", schedule(max_steps=2), quiet_log), [rollout(*pair) for pair in SUMS]
        )
    assert not list(tmp_path.glob("out/*.safetensors"))


# ---- direct preference optimization ------------------------------------------------------------------------------
PAIRS = [
    preference("what is 3 + 5?", "Answer: 8.", "Answer: 9 or so."),
    preference("what is 12 - 7?", "Answer: 5.", "the quick fox"),
    preference("3", "yes", "no"),
]


def run_dpo(start, folder, quiet_log, reference=None, **changes) -> Checkpoint:
    return training.dpo(
        training.Job(start, folder, schedule(**changes), quiet_log, reference or start),
        PAIRS,
        loss_type=["sigmoid"],
        loss_weights=None,
        beta=0.1,
    )


def margins(checkpoint: Checkpoint) -> list[float]:
    """log p(chosen) - log p(rejected) of each pair."""
    sides = [
        [
            sum(score)
            for score in Transformers().logprobs_of(
                checkpoint, [Rollout(prompt=p.prompt, completion=text(p)) for p in PAIRS]
            )
        ]
        for text in (lambda pair: pair.chosen, lambda pair: pair.rejected)
    ]
    return [better - worse for better, worse in zip(*sides, strict=True)]


def test_the_first_dpo_loss_is_ln_2_against_the_start(start, tmp_path, quiet_log):
    run_dpo(start, tmp_path / "out", quiet_log, learning_rate=0.0)
    assert quiet_log.metrics["train/loss"] == pytest.approx(math.log(2), abs=1e-4)


@pytest.mark.long
def test_the_dpo_loss_is_that_of_the_papers_formula(start, tmp_path, quiet_log):
    other = run_dpo(start, tmp_path / "other", quiet_log, max_steps=5)
    run_dpo(other, tmp_path / "out", quiet_log, reference=start, learning_rate=0.0)
    gains = [new - old for new, old in zip(margins(other), margins(start), strict=True)]
    expected = sum(math.log1p(math.exp(-0.1 * gain)) for gain in gains) / len(gains)
    assert quiet_log.metrics["train/loss"] == pytest.approx(expected, abs=1e-3)
    assert expected < math.log(2) - 0.01, "the reference matters"


def test_dpo_raises_the_margin_of_every_pair(start, tmp_path, quiet_log):
    before = margins(start)
    after = margins(run_dpo(start, tmp_path / "out", quiet_log, learning_rate=3e-3))
    assert all(new > old + 1 for new, old in zip(after, before, strict=True))


@pytest.mark.runs
def test_dpo_repeats_to_the_byte_and_leaves_the_reference_alone(start, tmp_path, quiet_log):
    kept = weights(start)
    first, second = (weights(run_dpo(start, tmp_path / name, quiet_log, max_steps=3)) for name in ("a", "b"))
    assert first == second != kept
    assert weights(start) == kept


def test_a_dpo_loss_that_is_no_number_saves_nothing(start, tmp_path, quiet_log):
    with pytest.raises(DataError, match="learning_rate"):
        run_dpo(start, tmp_path / "out", quiet_log, learning_rate=1e30, max_steps=4)
    assert not list(tmp_path.glob("out/*.safetensors"))


# ---- loading -----------------------------------------------------------------------------------------------------
def test_a_tokenizer_without_a_padding_token_pads_with_the_end_token(start, tmp_path):
    folder = Path(shutil.copytree(start.path, tmp_path / "copy"))
    tokenizer = training.load(start)[1]
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    assert training.load(Checkpoint(path=str(folder)))[1].pad_token == tokenizer.eos_token


@pytest.mark.parametrize(
    ("scores", "stops", "kept"),
    [
        ([0.2, 0.5, 0.7, 0.72], [False] * 4, 3),  # rises all the time
        ([0.5, 0.8, 0.7, 0.6], [False, False, False, True], 1),  # 3 standard errors of 0.8 on 100 are 12 points
        ([0.6, 0.6], [False, False], 1),  # of equal scores the later one
        ([1.0, 0.96, 0.94], [False, False, True], 0),  # no error at 1.0: 5 points
    ],
)
def test_the_peak_is_kept_and_a_cliff_ends_the_training(scores, stops, kept):
    import torch

    model = torch.nn.Linear(1, 1)
    peak = training.Peak(lambda step, _: scores[step], n=100)
    for step, stop in enumerate(stops):
        torch.nn.init.constant_(model.weight, float(step))
        assert peak(step, model) is stop
    peak.restore(len(stops) - 1, model)
    assert model.weight.item() == kept == peak.step and peak.best == max(scores)


def test_the_last_step_is_measured_before_the_peak_is_put_back():
    import torch

    model = torch.nn.Linear(1, 1)
    peak = training.Peak(lambda step, _: step / 10, n=100)
    assert not peak(2, model)
    torch.nn.init.constant_(model.weight, 9.0)
    peak.restore(5, model)
    assert peak.step == 5 and model.weight.item() == 9.0


@pytest.mark.runs
def test_sft_saves_the_weights_of_the_peak(start, tmp_path, quiet_log):
    """The score is best at step 2 of 6, so what is saved is what 2 steps of the same schedule give."""
    rows = [rollout(*pair) for pair in SUMS]
    plan = {"lr_scheduler_type": "constant"}
    peak = training.Peak(lambda step, _: 1.0 - abs(step - 2) / 100, n=10)
    with_peak = training.sft(
        training.Job(start, tmp_path / "a", schedule(max_steps=6, **plan), quiet_log), rows, peak, check_every=2
    )
    assert quiet_log.metrics["train/peak_step"] == 2
    plain = training.sft(training.Job(start, tmp_path / "b", schedule(max_steps=2, **plan), quiet_log), rows)
    assert weights(with_peak) == weights(plain)
