"""`pag`: a conversation by hand, what its turns earn, and that both roles learn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from selfimprove.interfaces import Context
from selfimprove.methods.optimization.pag import Pag
from selfimprove.records import Message, Prompt, Rollout
from selfimprove.training import Turn

RIGHT, WRONG = "3+5=8;8+8=6#6", "3+5=8;8+8=5#5"


class Script:
    """Stands for the weights in training: one prepared text after the other."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts, self.asked = list(texts), list[str]()

    def draw(self, prompts: Sequence[Prompt]) -> list[Turn]:
        self.asked += [prompt.prompt[-1]["content"] for prompt in prompts]
        said = [[{"role": "assistant", "content": self.texts.pop(0)}] for _ in prompts]
        return [
            Turn(rollout=Rollout(prompt=prompt, completion=text), prompt_ids=[1], ids=[2])
            for prompt, text in zip(prompts, said, strict=True)
        ]


def test_a_conversation_by_hand(make_context: Callable[..., Context], make_prompt: Callable[..., Prompt]) -> None:
    """Right and believed, right and doubted, wrong and doubted, wrong and believed, wrong without a verdict."""
    attempts, verdicts = [RIGHT, RIGHT, WRONG, WRONG, WRONG], ["#y", "#n", "#n", "#y", "who knows"]
    live, given = Script([*attempts, *verdicts, WRONG, RIGHT]), make_context()
    turns = Pag(bonus=1.0)._conversation([make_prompt()] * 5, live, given)
    assert [turn.reward for turn in turns[:5]] == [1, 1, 0, 0, 0]
    assert [turn.reward for turn in turns[5:10]] == [1, 0, 1, 0, 0]
    assert [turn.reward for turn in turns[10:]] == [0 + (0 - 1), 1 + (1 - 0)]
    assert [turn.bucket for turn in turns] == ["solver"] * 5 + ["judge"] * 5 + ["solver"] * 2
    assert live.asked[5] == f"J:3+5+8={RIGHT}|" and live.asked[10:] == [f"R:3+5+8={RIGHT}|", f"R:3+5+8={WRONG}|"]
    found = given.log.metrics
    assert (found["pag/true_verdicts"], found["pag/revised"]) == (0.4, 0.4)


def test_what_is_not_known_earns_nothing() -> None:
    assert Pag().true(1.0, None) is None and Pag().revised(None, 1.0) is None and Pag().revised(1.0, None) is None


class Letters:
    """Roles of a model that can only say letters: an e in a verdict is a yes, or no verdict can be read."""

    def __init__(self, says: bool) -> None:
        self.says = says

    def judge(self, prompt: Prompt, attempt: str) -> list[Message]:
        return [{"role": "user", "content": f"judge {prompt.key}"}]

    def refine(self, prompt: Prompt, attempt: str) -> list[Message]:
        return [{"role": "user", "content": f"refine {prompt.key}"}]

    def read_judgement(self, text: str) -> float | None:
        return float("e" in text) if self.says else None


@pytest.mark.runs
@pytest.mark.parametrize("learner", ["solver", "judge"])
def test_each_role_learns_its_own_reward(setting: Callable, questions: list[Prompt], learner: str) -> None:
    """The other role always earns the same, which tells it nothing: it is compared with itself only."""

    def marks(rollouts: Sequence[Rollout]) -> list[Rollout]:
        return [replace(one, reward=0.6 + one.text.count("a") * (learner == "solver")) for one in rollouts]

    given = setting(reward=marks, roles=Letters(says=learner == "judge"))
    Pag(
        learning_rate=1e-2,
        critic_learning_rate=0.0,
        lr_scheduler_type="constant",
        per_device_train_batch_size=16,
        max_completion_length=6,
        max_steps=16,
    ).optimize(questions, given)
    found = given.log.metrics
    assert found[f"train/{learner}/reward_last"] > found[f"train/{learner}/reward_first"] + 0.2
    other = {"solver": "judge", "judge": "solver"}[learner]
    assert found[f"train/{other}/reward_last"] == pytest.approx(found[f"train/{other}/reward_first"])


@pytest.mark.parametrize(("word", "reward", "earned"), [(0.51, 0.6, 1), (0.5, 0.6, 0), (0.5, 0.5, 1), (None, 0.1, 0)])
def test_a_verdict_earns_by_saying_what_the_reward_says(word: float | None, reward: float, earned: int) -> None:
    assert Pag().true(word, reward) == earned
