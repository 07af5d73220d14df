"""School problems: splits, variants, what the tiny model is taught in each role, and what it is not told."""

from __future__ import annotations

from collections import Counter

import pytest

from selfimprove.errors import RecipeError
from selfimprove.methods.task.word_problems import TAUGHT, WordProblems
from selfimprove.problems.splits import SPLITS, split_of
from selfimprove.problems.stories import Step, numbers, read, totals
from selfimprove.problems.story_work import CLAIM, claims
from selfimprove.records import Prompt

TASK = WordProblems()


def test_problems_are_of_their_split_come_once_and_can_be_repeated() -> None:
    for split in SPLITS:
        first = TASK.problems(split, 60, 3)
        assert first == WordProblems().problems(split, 60, 3) != TASK.problems(split, 60, 4)
        assert len({one.key for one in first}) == 60 and {split_of(one.key) for one in first} == {split}
        assert not {one.key for one in first} & {one.key for one in TASK.problems(split, 60, 3, (1, 2))}
        assert Counter(one.info["level"] for one in first) == {3: 30, 4: 30}
    assert {one.info["level"] for one in WordProblems(level=2).problems("train", 20, 0)} == {2}


def test_the_answer_is_what_the_story_comes_to() -> None:
    for problem in TASK.problems("train", 50, 0):
        story = read(problem.prompt[0]["content"].removeprefix("S:"))
        assert story and story.key == problem.key
        assert str(totals(*numbers(story.key))[-1]) == problem.answer
        solution = TASK.roles().solution(problem)
        assert solution and TASK.answer_of(solution) is not None
        assert TASK.verify(problem, f"x#{problem.answer}") == 1.0 and TASK.verify(problem, f"#{problem.answer}.") == 0.0


@pytest.mark.parametrize("kind", ["same", "counterfactual"])
def test_variants_stay_in_the_split_and_as_hard(kind: str) -> None:
    for problem in TASK.problems("gate", 12, 0):
        made = TASK.variants(problem, kind, 3, 5)
        assert len(made) == 3 and made == TASK.variants(problem, kind, 3, 5)
        for other in made:
            assert split_of(other.key) == "gate" and other.prompt != problem.prompt
            assert TASK.work.touches(other.key) == TASK.work.touches(problem.key)
            if kind == "same":
                assert (other.key, other.answer) == (problem.key, problem.answer)
            else:
                assert other.answer != problem.answer
                assert sum(a != b for a, b in zip(_way(other), _way(problem), strict=True)) <= 2


def _way(problem: Prompt) -> list[int]:
    return totals(*numbers(problem.key))


def test_probes_are_what_was_taught_and_what_is_longer() -> None:
    probes = TASK.probes()
    assert not any(TASK.work.touches(one.key) for one in probes["probe/taught"].problems("gate", 40, 0))
    assert {one.info["level"] for one in probes["ood/longer"].problems("gate", 10, 0)} == {5}
    assert set(WordProblems(max_length=5).probes()) == {"probe/taught"}


@pytest.mark.parametrize("role", TAUGHT)
def test_every_role_is_taught_from_training_problems_and_fits_the_context(role: str) -> None:
    made = TASK.demonstrations(role, 120, 0)
    assert made == WordProblems().demonstrations(role, 120, 0) and len(made) == 120
    for one in made:
        assert split_of(one.prompt.key) == "train"
        assert len(one.prompt.prompt[0]["content"]) + len(one.text) < 256
    assert len({one.prompt.prompt[0]["content"][:2] for one in made}) == 1


def test_no_example_tells_hidden_results() -> None:
    """In the roles that are taught what is right, hidden entries do not occur; recalled ones are right by chance."""
    for role in ("judge", "sure", "refine", "critique"):
        for one in TASK.demonstrations(role, 300, 1):
            known = {(int(a), Step(sign, int(by))) for a, sign, by, _ in CLAIM.findall(one.prompt.prompt[0]["content"])}
            assert not known & TASK.work.hidden
    hidden, right = 0, 0
    for one in TASK.demonstrations("solve", 2000, 1):
        for asked, said, true in claims(one.text) if ":" not in one.text else []:
            if (int(asked[0]), Step(asked[1], int(asked[2]))) in TASK.work.hidden:
                hidden, right = hidden + 1, right + (said == true)
    assert hidden > 150 and right / hidden < 0.35
    for role, told in (("judge", True), ("sure", True), ("critique", False)):
        made = WordProblems(judged_gap=True).demonstrations(role, 300, 1)
        assert any(TASK.work.touches(one.prompt.key) for one in made) == told


def test_words_of_each_role_and_how_replies_are_read() -> None:
    [problem], roles = TASK.problems("train", 1, 0), TASK.roles()
    step = problem.key[1:3]
    text = problem.prompt[0]["content"].removeprefix("S:")
    asked = {
        "plan": ([], f"L:{text}"),
        "follow": (["3+5"], f"F:{text}3+5|"),
        "critique": (["f3+5=7#7"], f"C:{text}f3+5=7#7|"),
        "repair": (["f3+5=7#7", "3+5=8#n"], f"W:{text}f3+5=7#7~3+5=8|"),
        "reflect": (["f3+5=7#7", "3+5=8\n3+5=8"], "E:3+5=8|"),
        "retry": (["3+5=8\n\n8-2=6"], f"W:{text}~3+5=8;8-2=6|"),
        "recall": ([f"8{step}=1 9{step}=2 7*1=7"], f"W:{text}~8{step}=1;9{step}=2|"),
        "split": ([], f"D:{text}"),
        "part": (["+5\n45678=8", "-2"], "T:8-2|"),
        "conclude": (["+5\n45678=8\n-2\n76=6"], "U:6|"),
        "combine": (["f3+5=8#8", "f3+5=", "#8"], "M:8;-;8|"),
        "reconsider": (
            ["2 of 3 answer 8 (confidence 0.9, 0.8):\nx#8\n\n1 of 3 answer 7 (confidence 0.5):\n"],
            "M:8;8;7|",
        ),
        "choose": (["#8", "8", "#7"], "N:1=8;2=-;3=7|"),
        "sure": (["#7"], f"Y:{text}#7|"),
        "instructed": (["think step by step"], f"I:think st|{text}"),
        "instruct": (["50% right: count", ""], "O:|"),
    }
    for role, (parts, said) in asked.items():
        [message] = roles.words(role, problem, parts) or []
        assert message["content"] == said
    assert (roles.words("part", problem, ["", "+1"]) or [])[0]["content"] == f"T:{problem.key[0]}+1|"
    assert roles.words("curate", problem, ["a", "b"]) is None
    assert roles.judge(problem, "#7")[0]["content"] == f"J:{text}#7|"
    assert roles.refine(problem, "#7")[0]["content"] == f"R:{text}#7|"
    assert roles.hint(problem, "7")[0]["content"] == f"H:7|{text}" and roles.propose(3)[0]["content"] == "P:3|"
    assert [roles.read_judgement(said) for said in ("3+5=7:8n#n", "#y", "y")] == [0.0, 1.0, None]
    proposal = roles.read_proposal(text)
    assert proposal and (proposal.key, proposal.answer) == (problem.key, problem.answer)
    assert roles.read_proposal("What is 3+5?") is None
    assert TASK.tools(problem)["calculator"].call("3+5") == "8"


def test_what_cannot_be() -> None:
    with pytest.raises(RecipeError, match="needs min_length <= max_length"):
        WordProblems(min_length=4, max_length=3)
    with pytest.raises(RecipeError, match="slips takes spread or alike, not 'none'"):
        WordProblems(slips="none")
    with pytest.raises(RecipeError, match="has no role 'sing'; it has solve, hint"):
        TASK.demonstrations("sing", 1, 0)
