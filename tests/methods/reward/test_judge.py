"""The model as judge: verdicts are averaged, what cannot be read is no verdict, equal attempts are asked once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.reward.judge import Judge
from selfimprove.methods.task.addition import Addition
from selfimprove.methods.task.chain_sums import ChainSums
from selfimprove.methods.task.jsonl import JsonlTask
from selfimprove.problems import answers as text
from selfimprove.records import Checkpoint

GOOD, BAD = "3+5=8;8+8=6#6", "3+5=9;9+8=7#7"


def asked(attempt: str) -> str:
    return f"J:3+5+8={attempt}|"


@pytest.fixture
def court(make_context: Callable, make_engine: Callable) -> Callable:
    """`court(answers)`: a context whose engine answers judge prompts from a table, else with `lost`."""
    return lambda answers, **changes: make_context(make_engine(answers, "lost"), **changes)


def test_the_judgement_of_each_attempt(court: Callable, make_rollout: Callable) -> None:
    context = court({asked(GOOD): {"3+5=8:8y;8+8=6:6y#y": 1}, asked(BAD): {"3+5=9:8n;9+8=7:7y#n": 1}})
    groups = [[make_rollout(GOOD), make_rollout(BAD), make_rollout("no idea")], [], [make_rollout(BAD)]]
    assert Judge().rate(groups, context) == [[1.0, 0.0, None], [], [0.0]]
    assert context.log.metrics == {"judge/unread": 0.25}


def test_verdicts_are_averaged_and_unread_ones_are_left_out(court: Callable, make_rollout: Callable) -> None:
    context = court({asked(GOOD): {"#y": 0.5, "#n": 0.25, "3+5=8:8y;8+": 0.25}})
    [[score]] = Judge(samples=4000).rate([[make_rollout(GOOD)]], context)
    assert score == pytest.approx(2 / 3, abs=0.03)


def test_all_groups_are_asked_in_one_call_and_equal_attempts_once(court: Callable, make_rollout: Callable) -> None:
    context = court({asked(GOOD): {"#y": 1}})
    groups = [[make_rollout(GOOD), make_rollout(GOOD)], [make_rollout(BAD), make_rollout(GOOD, "3+5+9")]]
    Judge(samples=2, temperature=0.5).rate(groups, context)
    engine = context.policy.engine
    [(n, sampling, _)] = engine.calls
    assert (n, sampling.temperature, len(engine.seen)) == (2, 0.5, 3)
    assert all(prompt.answer is None and not prompt.info for prompt in engine.seen)


@pytest.mark.parametrize(("frozen", "path"), [(True, "start"), (False, "now")])
def test_who_judges(
    make_context: Callable,
    make_engine: Callable,
    make_policy: Callable,
    make_rollout: Callable,
    frozen: bool,
    path: str,
) -> None:
    engine, used = make_engine({}, "#y"), []
    plain = engine.draw
    engine.draw = lambda asks, log: used.extend(ask.checkpoint.path for ask in asks) or plain(asks, log)
    context = make_context(
        policy=make_policy(engine, checkpoint=Checkpoint(path="now")), start=Checkpoint(path="start")
    )
    assert Judge(frozen=frozen).rate([[make_rollout(GOOD)]], context) == [[1.0]]
    assert used == [path]


def test_nothing_to_judge_asks_nothing(court: Callable) -> None:
    context = court({})
    assert Judge().rate([], context) == [] and Judge().rate([[], []], context) == [[], []]
    assert context.policy.engine.calls == [] and context.log.metrics == {"judge/unread": 0.0}


def test_a_task_without_a_judge_is_refused(court: Callable, make_rollout: Callable) -> None:
    context = court({}, roles=Addition().roles())
    with pytest.raises(RecipeError, match="task addition has no role 'judge'"):
        Judge().rate([[make_rollout(GOOD)]], context)
    with pytest.raises(RecipeError, match="task addition has no role 'judge'"):
        Addition().roles().read_judgement("#y")


# ---- reading judgements ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reply", "verdict"),
    [("3+5=8:8y#y", 1.0), ("#n", 0.0), ("3+5=8:8y", None), ("#y#n", 0.0), ("#y ", None), ("#x", None), ("", None)],
)
def test_the_judgement_of_chain_sums(reply: str, verdict: float | None) -> None:
    assert ChainSums().roles().read_judgement(reply) == verdict


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("Step 1 holds.\n#y", 1.0),
        ("Step 1 holds.\n\n**#N**\n", 0.0),
        ("`#y`.", 1.0),
        ("#y\nOn second thought it is wrong.\n#n", 0.0),
        ("The attempt is right: #y", None),  # not a line of its own, as it would be if the attempt were quoted
        ("#y or #n", None),
        ("#y\nThank you.", None),
        ("#", None),
        (" \n ", None),
        ("", None),
    ],
)
def test_the_judgement_of_an_instructed_model(reply: str, verdict: float | None) -> None:
    assert text.judgement(reply) == verdict


def test_the_instruction_asks_for_the_judgement_that_is_read(tmp_path: Path, make_prompt: Callable) -> None:
    roles = JsonlTask(path=str(tmp_path / "unread")).roles()
    said = roles.judge(make_prompt(), "8")[-1]["content"]
    assert roles.read_judgement(said) is None  # an echo of the question is not a judgement
    assert [roles.read_judgement(f"Checked.\n{word}") for word in ("#y", "#n") if word in said] == [1.0, 0.0]


# ---- five points -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reply", "points"),
    [
        ("Useful and right.\nScore: 5", 1.0),
        ("**Score: 3**", 0.6),
        ("Score: 1, but on second thought\nscore = 4", 0.8),
        ("Score: 0", 0.0),
        ("Score: 7", None),
        ("Score: 4.5", None),
        ("5", None),
        ("Score: 4.", 0.8),
        ("Clear and right.\n**4**", 0.8),
        ("**Score:** **4**", 0.8),
        ("Score: 4/5", 0.8),
        ("Score (0-5): 3", 0.6),
        ("The score is 2.", 0.4),
        ("Score: 4/10", None),
        ("Score: -3", None),
        ("Score: 0-5", None),
        ("It earns **4** points", None),
    ],
)
def test_the_rubric_is_read_as_a_share_of_five(reply: str, points: float | None, court: Callable) -> None:
    assert Judge(scale="points").read(reply, court({}).roles) == points


def test_the_rubric_shows_problem_and_answer_and_averages_three_grades(court: Callable, make_rollout: Callable) -> None:
    judge = Judge(scale="points")
    context = court({})
    [[score]] = judge.rate([[make_rollout(GOOD)]], context)
    assert score is None  # `lost` says nothing
    [asked] = context.policy.engine.seen
    said = asked.prompt[-1]["content"]
    assert "S:3+5+8=" in said and GOOD in said and judge.read(said, context.roles) is None  # its own echo is no grade
    [(n, _, _)] = context.policy.engine.calls
    assert n == 3
    context = court({said: {"Score: 5": 1.0, "Score: 2": 1.0, "lost": 1.0}})
    [[score]] = Judge(scale="points", samples=2000).rate([[make_rollout(GOOD)]], context)
    assert score == pytest.approx(0.7, abs=0.03)


def test_another_scale_is_refused() -> None:
    with pytest.raises(RecipeError, match="it must be verdict or points"):
        Judge(scale="stars")
