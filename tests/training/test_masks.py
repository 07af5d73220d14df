"""Every trainer learns what the assistant said and nothing else: its gradient is that of the masked loss by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from selfimprove import training
from selfimprove.inference.rows import Row, joined
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.ppo import Ppo
from selfimprove.records import Checkpoint, Message, Preference, Prompt, Rollout
from selfimprove.training.native.loop import Live

torch = pytest.importorskip("torch")

TOOL = "the quick brown fox"
SAYS = [("what is 3 + 5?", "3 + 5", "Answer: 8."), ("3", "the", "quick brown"), ("12 - 7?", "Question", "5")]


def talk(question: str, first: str, last: str, **changes: Any) -> Rollout:
    """The assistant calls a tool, and answers."""
    said = (("assistant", first), ("tool", TOOL), ("assistant", last))
    completion: list[Message] = [{"role": role, "content": text} for role, text in said]
    return Rollout(prompt=Prompt(prompt=[{"role": "user", "content": question}], key=question), completion=completion)


@pytest.fixture
def talks() -> list[Rollout]:
    """Three conversations with a tool."""
    return [talk(*one) for one in SAYS]


@pytest.fixture
def disputes(talks: list[Rollout]) -> list[Preference]:
    """Each conversation against the next one's, after the same question."""
    turned = [*talks[1:], talks[0]]
    return [
        Preference(prompt=one.prompt, chosen=one.completion, rejected=other.completion)
        for one, other in zip(talks, turned, strict=True)
    ]


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> list[dict[tuple[int, ...], Any]]:
    """The gradients of each optimizer step, in the order of the weights."""
    steps: list[Any] = []
    plain = torch.optim.AdamW.step

    def step(self: Any, *given: Any, **named: Any) -> Any:
        weights = [weight for group in self.param_groups for weight in group["params"]]
        steps.append({tuple(weight.shape): [] for weight in weights})
        for weight in weights:
            steps[-1][tuple(weight.shape)].append(weight.grad.detach().clone())
        return plain(self, *given, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    return steps


def schedule(rows: int = 3) -> training.Schedule:
    return training.Schedule(learning_rate=1e-3, max_steps=1, per_device_train_batch_size=rows, max_grad_norm=1e9)


class ByHand:
    """The model, and the log-probability of each learned token of a row, with its gradient."""

    def __init__(self, start: Checkpoint) -> None:
        self.model, self.tokenizer = training.load(start)
        self.model.eval()

    def rows(self, rollouts: Sequence[Rollout]) -> list[Row]:
        made = joined(self.tokenizer, rollouts)
        assert all(0 < sum(row.said) < len(row.said) for row in made), "the tool's words are among them"
        return made

    def learned(self, row: Row) -> Any:
        logits = self.model(input_ids=torch.tensor([row.ids])).logits[0, :-1].log_softmax(-1)
        places = [len(row.prompt) + place for place, own in enumerate(row.said) if own]
        return logits[[place - 1 for place in places], [row.ids[place] for place in places]]

    def compare(self, loss: Any, found: dict[tuple[int, ...], list[Any]]) -> None:
        """The gradient of a loss is the one that a trainer stepped with; weights of one shape in their order."""
        loss.backward()
        mine: dict[tuple[int, ...], list[Any]] = {}
        for weight in self.model.parameters():
            mine.setdefault(tuple(weight.shape), []).append(weight.grad)
        assert {shape: len(several) for shape, several in mine.items()} == {s: len(g) for s, g in found.items()}
        wanted = torch.cat([one.flatten() for shape in mine for one in mine[shape]])
        given = torch.cat([one.flatten() for shape in mine for one in found[shape]])
        assert wanted.norm() > 1e-3
        assert (given - wanted).norm() < 1e-4 * wanted.norm()


@pytest.fixture
def hand(start: Checkpoint) -> ByHand:
    """What a trainer is compared with."""
    return ByHand(start)


def test_an_engine_gives_numbers_for_what_the_assistant_said_only(start: Any, talks: Any, hand: ByHand):
    found = Transformers().logprobs_of(start, talks)
    for row, numbers in zip(hand.rows(talks), found, strict=True):
        assert numbers == pytest.approx(hand.learned(row).tolist(), abs=1e-4)


@pytest.mark.parametrize("way", [{}, {"padding_free": True}, {"packing": True, "max_length": 200}])
def test_sft(way: dict[str, Any], start: Any, talks: Any, tmp_path: Any, quiet_log: Any, stepped: Any, hand: ByHand):
    training.sft(training.Job(start, tmp_path / "out", schedule(), quiet_log), talks, **way)
    hand.compare(-torch.cat([hand.learned(row) for row in hand.rows(talks)]).mean(), stepped[0])


@pytest.mark.parametrize("average", ["token", "sequence"])
def test_weighted_sft(average: str, start: Any, talks: Any, tmp_path: Any, quiet_log: Any, stepped: Any, hand: ByHand):
    weights = [1.0, 0.5, 2.0]
    training.sft(training.Job(start, tmp_path / "out", schedule(), quiet_log), talks, weights=weights, average=average)
    parts = [hand.learned(row) for row in hand.rows(talks)]
    sums: list[Any] = [part.sum() if average == "token" else part.mean() for part in parts]
    total: Any = sum(
        weight * (len(part) if average == "token" else 1) for weight, part in zip(weights, parts, strict=True)
    )
    hand.compare(-sum(weight * one for weight, one in zip(weights, sums, strict=True)) / total, stepped[0])


def test_dpo(start: Any, disputes: Any, tmp_path: Any, quiet_log: Any, stepped: Any, hand: ByHand):
    """Where the policy is its own reference, the loss falls by beta / 2 for each nat of the margin."""
    given = {"loss_type": ["sigmoid"], "loss_weights": None, "beta": 0.1}
    training.dpo(training.Job(start, tmp_path / "out", schedule(), quiet_log, start), disputes, **given)
    sides = [[hand.learned(row).sum() for row in hand.rows(pair.sides)] for pair in disputes]
    hand.compare(-0.1 / 2 * sum(chosen - rejected for chosen, rejected in sides) / 3, stepped[0])


def test_losses_of_pairs(start: Any, disputes: Any, tmp_path: Any, quiet_log: Any, stepped: Any, hand: ByHand):
    """As ORPO and SimPO have them: means over what was said."""

    def loss(pairs: training.Pairs) -> Any:
        return -(pairs.chosen / pairs.chosen_tokens - 0.5 * pairs.rejected / pairs.rejected_tokens)

    training.pairs(training.Job(start, tmp_path / "out", schedule(), quiet_log), disputes, loss)
    sides = [[hand.learned(row).mean() for row in hand.rows(pair.sides)] for pair in disputes]
    hand.compare(-sum(chosen - 0.5 * rejected for chosen, rejected in sides) / 3, stepped[0])


def test_the_reference_at_the_places_of_the_rejected_is_masked_too(start: Any, disputes: Any, tmp_path: Any, quiet_log):
    seen = []

    def loss(pairs: training.Pairs) -> Any:
        seen.append(pairs.places.mask.sum(-1).tolist())
        return -pairs.chosen

    training.pairs(training.Job(start, tmp_path / "out", schedule(), quiet_log, start), disputes, loss, places=True)
    rows = joined(training.load(start)[1], [pair.sides[1] for pair in disputes])
    assert sorted(seen[0]) == sorted(sum(row.said) for row in rows)


def test_kto(start: Any, talks: Any, tmp_path: Any, quiet_log: Any, stepped: Any, hand: ByHand):
    """At the start all ratios are 1 and z is 0: a good completion gains beta / 4 a nat, a bad one loses as much."""
    training.kto(
        training.Job(start, tmp_path / "out", schedule(), quiet_log, start), talks, [True, False, True], beta=0.1
    )
    good, bad, other = (hand.learned(row).sum() for row in hand.rows(talks))
    hand.compare(-0.1 / 4 * (good - bad + other) / 3, stepped[0])


def test_the_divergence_of_kto_is_of_what_was_said(start: Any, talks: Any, tmp_path: Any, quiet_log: Any, monkeypatch):
    from trl.trainer.kto_trainer import KTOTrainer

    masks, plain = [], KTOTrainer._compute_kl_logps

    def spy(self: Any, model: Any, batch: Any) -> Any:
        masks.append(batch["KL_completion_mask"].sum(-1).tolist())
        return plain(self, model, batch)

    monkeypatch.setattr(KTOTrainer, "_compute_kl_logps", spy)
    training.kto(training.Job(start, tmp_path / "out", schedule(), quiet_log, start), talks, [True, False, True])
    rows = joined(training.load(start)[1], talks)
    assert sorted(masks[0]) == sorted(sum(row.said) for row in rows)


# ---- the native loop ---------------------------------------------------------------------------------------------
@pytest.fixture
def live(start: Checkpoint, make_context: Callable[..., Any]) -> Callable[..., Live]:
    """The weights in training, by the options of `ppo` or of another method."""
    from dataclasses import replace

    def make(method: Any = None) -> Live:
        given = make_context()
        given = replace(given, policy=replace(given.policy, checkpoint=start), start=start)
        method = method or Ppo(max_completion_length=6, max_steps=2)
        return Live(training.job_of(method, given), 1, method)

    return make


def test_a_transcript_is_a_turn_whose_tool_words_count_nowhere(live: Callable, talks: Any, hand: ByHand):
    made = live()
    turns = made.turns(talks)
    rows = hand.rows(talks)
    assert [turn.said for turn in turns] == [tuple(row.said) for row in rows]
    with torch.no_grad():
        numbers, mask = made.logprobs(turns)
        for turn, row, own, known in zip(turns, rows, numbers, mask, strict=True):
            assert own[known > 0].tolist() == pytest.approx(hand.learned(row).tolist(), abs=1e-4)
            assert known[: len(turn.ids)].tolist() == row.said and not known[len(turn.ids) :].any()
            assert not own[known == 0].any()


def test_a_turn_without_a_tool_is_as_it_was(live: Callable, rollouts: list[Rollout]):
    for turn in live().turns(rollouts):
        assert turn.said == () and list(turn.learned) == [1] * len(turn.ids)


def test_policy_gradient(start: Any, talks: Any, make_context: Callable, stepped: Any, hand: ByHand):
    """Each learned token with its reward to go, a mean over those: the tool's words have no part in it."""
    from dataclasses import replace

    given = make_context()
    given = replace(given, policy=replace(given.policy, checkpoint=start), start=start)
    earned = [1.0, -0.5, 2.0]
    scored = [replace(one, reward=score) for one, score in zip(talks, earned, strict=True)]
    method = Ppo(max_steps=1, per_device_train_batch_size=3, num_iterations=1, beta=0.0)
    seen = []

    def advantages(draws: training.Draws) -> Any:
        seen.append(draws)
        return training.to_go(draws.rewards)

    # clipping the gradient would scale it; the norm that Live clips to stands in its schedule
    def play(live: Live) -> Any:
        live.schedule.max_grad_norm = math.inf
        yield live.turns(scored)

    training.reinforce(training.job_of(method, given), 3, method, play, advantages)
    rows = hand.rows(talks)
    for row, rewards, score in zip(rows, seen[0].rewards.tolist(), earned, strict=True):
        last = max(place for place, own in enumerate(row.said) if own)
        assert rewards[last] == score and sum(map(abs, rewards)) == abs(score)
    total = sum(sum(row.said) for row in rows)
    hand.compare(
        -sum(hand.learned(row).sum() * score for row, score in zip(rows, earned, strict=True)) / total, stepped[0]
    )


def test_surprises_pass_over_what_the_tool_said():
    """Rewards and values of [a, tool, b] give the advantages of [a, b]."""
    numbers = lambda *row: torch.tensor([row], dtype=torch.float64)  # noqa: E731
    whole = training.generalized_advantages(numbers(0, 0, 1), numbers(0.5, 9, 0.2), numbers(1, 0, 1), 0.5)
    bare = training.generalized_advantages(numbers(0, 1), numbers(0.5, 0.2), numbers(1, 1), 0.5)
    assert whole.tolist() == [[bare[0, 0].item(), 0.0, bare[0, 1].item()]]
