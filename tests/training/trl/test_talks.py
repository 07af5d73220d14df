"""Episodes as rows of GRPO: the tokens are those of a transcript, the world's words count nowhere, rewards are its own."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from selfimprove import training
from selfimprove.episodes import Episode, Turn
from selfimprove.errors import RecipeError
from selfimprove.inference.decoding import Draw
from selfimprove.inference.rows import joined
from selfimprove.interfaces import Sampling
from selfimprove.loop.given import context_of
from selfimprove.methods.optimization.grpo import Grpo
from selfimprove.problems import splits
from selfimprove.records import Checkpoint, Message, Prompt, Rollout
from selfimprove.training.drawing import draw_each
from selfimprove.training.trl import talks

torch = pytest.importorskip("torch")

ASKED = Prompt(prompt=[{"role": "user", "content": "what is 3 + 5?"}], answer="8", key="3+5")
HEARD: Message = {"role": "user", "content": "the quick brown fox"}
SAYS = [("3 + 5", "Answer: 8."), ("the", "quick brown"), ("Question", "5")]


@dataclass
class Twice(Episode):
    """Asks again whatever is said, and pays by the last reply; nothing for `5`."""

    problem: Prompt
    heard: int = 0

    def step(self, said: Message | None) -> Turn:
        if said is None:
            return Turn("solve", self.problem.prompt)
        self.heard += 1
        if self.heard == 1:
            return Turn("solve", [HEARD])
        worth = {"Answer: 8.": 1.0, "quick brown": -0.5}
        return Turn(None, rewards={"solve": worth[said["content"]]} if said["content"] in worth else {})


@pytest.fixture
def replies(start: Checkpoint) -> Callable[..., list[Draw]]:
    """Draws of given texts, one list for each call; all end with the end token, or with none."""
    _, tokenizer = training.load(start)
    said = [list(column) for column in zip(*SAYS, strict=True)]

    def draw(asked: Sequence[tuple[int, ...]], ended: bool = True) -> list[Draw]:
        end = tokenizer.eos_token_id if ended else None
        ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in said.pop(0)[: len(asked)]]
        return [Draw(tokens=one, logprob=0.0, count=len(one) + ended, end=end) for one in ids]

    return draw


def transcript(first: str, last: str) -> Rollout:
    said: list[Message] = [{"role": "assistant", "content": first}, HEARD, {"role": "assistant", "content": last}]
    return Rollout(prompt=ASKED, completion=said)


def test_the_tokens_of_an_episode_are_those_of_its_transcript(start: Checkpoint, replies: Callable) -> None:
    _, tokenizer = training.load(start)
    seen: list[tuple[int, ...]] = []

    def draw(asked: list[tuple[int, ...]]) -> list[Draw]:
        seen.extend(asked)
        return replies(asked)

    made, rollouts = talks.played([ASKED] * 3, Twice, 4, tokenizer, draw, 512)
    rows = joined(tokenizer, [transcript(*one) for one in SAYS])
    assert [(talk.prompt, talk.ids, talk.said) for talk in made] == [
        (row.prompt, row.completion, row.said) for row in rows
    ]
    assert [one.completion for one in rollouts] == [transcript(*one).completion for one in SAYS]
    assert [one.reward for one in rollouts] == [1.0, -0.5, None] and all(one.prompt == ASKED for one in rollouts)
    for talk, before in zip(made, seen[3:], strict=True):
        assert (*talk.prompt, *talk.ids)[: len(before)] == before, "a later reply is drawn after the row so far"


def test_a_reply_that_was_cut_off_gets_an_end_that_is_not_learned(start: Checkpoint, replies: Callable) -> None:
    _, tokenizer = training.load(start)
    made, _ = talks.played([ASKED], Twice, 2, tokenizer, lambda asked: replies(asked, ended=False), 512)
    [row] = joined(tokenizer, [replace(transcript(*SAYS[0]), info={"finish_reason": "length"})])
    assert made[0].ids == row.completion
    own = len(tokenizer(SAYS[0][0], add_special_tokens=False)["input_ids"])
    assert made[0].said == [*row.said[:own], 0, *row.said[own + 1 :]] != row.said


def test_what_closes_a_thought_is_not_learned(thinker: Callable[..., Checkpoint]) -> None:
    """The rows of GRPO with a budget of 2, by our own decoder: the closing mark between two line breaks is no choice."""
    model, tokenizer = training.load(thinker("opened", seed=5))
    drawn = functools.partial(
        draw_each, model, tokenizer, sampling=Sampling(max_completion_length=9), rows=4, seed=0, mixed=nullcontext
    )
    made, rollouts = talks.played(
        [ASKED] * 8, talks.Once, 1, tokenizer, lambda asked: drawn(asked, thinking_budget=2), 512
    )
    closing = tokenizer("\n</think>\n\n", add_special_tokens=False)["input_ids"]
    closed = [talk for talk in made if 0 in talk.said]
    assert len(closed) >= 6 and all(one.reward is None for one in rollouts), "the recipe's reward is asked"
    for talk in closed:
        assert [token for token, own in zip(talk.ids, talk.said, strict=True) if not own] == closing
        assert talk.said[:2] == [1, 1] and talk.ids[2 : 2 + len(closing)] == closing


def test_a_talk_ends_with_its_turns_or_where_the_context_is_full(start: Checkpoint, replies: Callable) -> None:
    _, tokenizer = training.load(start)
    [once], [left] = talks.played([ASKED], Twice, 1, tokenizer, replies, 512)
    assert len(left.completion) == 1 and left.reward is None and sum(once.said) == len(once.said)
    [full], _ = talks.played([ASKED], Twice, 4, tokenizer, replies, len(once.prompt) + len(once.ids))
    assert len([message for message in full.messages if message["role"] == "assistant"]) == 1


def test_a_world_with_several_players_is_refused(start: Checkpoint, replies: Callable) -> None:
    class Game(Twice):
        def step(self, said: Message | None) -> Turn:
            return Turn("first" if said is None else "second", self.problem.prompt)

    with pytest.raises(RecipeError, match="worlds with one player"):
        talks.played([ASKED], Game, 2, training.load(start)[1], replies, 512)


def test_one_step_of_grpo_is_the_masked_policy_gradient(
    start: Checkpoint, replies: Callable, tmp_path: Any, quiet_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On what was drawn with the same weights, by hand: of each row the mean over learned tokens, times its lead."""
    found: list[Any] = []
    plain = torch.optim.AdamW.step

    def step(self: Any, *given: Any, **named: Any) -> Any:
        found.append([weight.grad.detach().clone() for group in self.param_groups for weight in group["params"]])
        return plain(self, *given, **named)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    monkeypatch.setattr(talks, "draw_each", lambda model, tokenizer, asked, *rest: replies(asked))
    method = Grpo(num_generations=3, per_device_train_batch_size=3, max_steps=1, turns=2, learning_rate=1e-3)
    plan = training.Schedule(learning_rate=1e-3, max_steps=1, per_device_train_batch_size=3, max_grad_norm=1e9)
    job = training.Job(start, tmp_path / "out", plan, quiet_log, start)

    def reward(rollouts: Sequence[Rollout]) -> list[Rollout]:
        assert [one.text for one in rollouts] == ["5"], "the recipe's reward is asked where the world gives none"
        return [replace(one, reward=0.25) for one in rollouts]

    options = {"loss_type": "grpo", "scale_rewards": "none", "beta": 0.0}
    training.policy_gradient(job, [ASKED], method, reward, "grpo", Twice, 2, **options)
    model, tokenizer = training.load(start)
    model.eval()
    rows, worth = joined(tokenizer, [transcript(*one) for one in SAYS]), [1.0, -0.5, 0.25]
    loss: Any = 0.0
    for row, mark in zip(rows, worth, strict=True):
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1].log_softmax(-1)
        places = [len(row.prompt) + place for place, own in enumerate(row.said) if own]
        learned = logits[[place - 1 for place in places], [row.ids[place] for place in places]]
        loss = loss - (mark - sum(worth) / 3) * learned.mean() / 3
    loss.backward()
    wanted = {tuple(weight.shape): torch.zeros(()) for weight in model.parameters()}
    norm = math.sqrt(sum(float((weight.grad**2).sum()) for weight in model.parameters()))
    for shape in wanted:
        mine = [weight.grad for weight in model.parameters() if tuple(weight.shape) == shape]
        theirs = [grad for grad in found[0] if tuple(grad.shape) == shape]
        assert len(mine) == len(theirs)
        assert sum(float((a - b).norm()) for a, b in zip(mine, theirs, strict=True)) < 1e-4 * norm
    assert norm > 1e-3
    assert quiet_log.metrics["train/reward_first"] == pytest.approx(0.25)


def test_no_world_of_a_held_out_problem_is_opened_while_it_trains(
    make_policy: Callable, quiet_log: Any, tmp_path: Path
) -> None:
    from selfimprove.recipe import compose

    recipe, policy = compose.load("quickstart", [])[0], make_policy()
    given = context_of(
        recipe,
        policy,
        policy.checkpoint,
        number=1,
        rounds=1,
        seed=0,
        train_seed=lambda number: 0,
        selection_seed=0,
        folder=tmp_path,
        previous=None,
        log=quiet_log,
    )
    gate = recipe.the("task").problems("gate", 1, 0)[0]
    [problem] = recipe.the("task").problems("train", 1, 0)
    with splits.closed("optimization"):
        assert given.world(problem).step(None).news == problem.prompt
        with pytest.raises(RecipeError, match="opened an episode with a problem of the gate split"):
            given.world(gate)


@pytest.mark.parametrize("option", [{"use_vllm": True}, {"redraw": 1}, {"deepspeed": "plan.json"}])
def test_what_does_not_go_with_episodes_is_refused(option: dict[str, Any]) -> None:
    [name] = option
    with pytest.raises(RecipeError, match=f"turns above 1 does not go with {name}"):
        Grpo(turns=2, **option)
    Grpo(turns=1, **option)
