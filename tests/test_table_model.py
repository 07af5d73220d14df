"""The model of the tests has the probabilities that were written down, and draws as an engine must."""

from __future__ import annotations

import math
from collections import Counter
from types import ModuleType

import pytest

from selfimprove.interfaces import GREEDY, Ask, Sampling
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.records import Checkpoint, Prompt

PROMPT = Prompt(prompt=[{"role": "user", "content": "q"}])
HERE = Checkpoint(path="weights")
SAYS = {"a b #1": 0.5, "a c #1": 0.3, "b": 0.2}
FLOOR = math.log(1e-4)


def ask(n: int = 1, **sampling: object) -> Ask:
    return Ask(checkpoint=HERE, prompt=PROMPT, n=n, sampling=Sampling(**sampling), seed=3)  # pyright: ignore


def test_tokens_have_the_probabilities_of_the_completions(table_model: ModuleType) -> None:
    model = table_model.TableModel(table={"q": SAYS})
    assert model.following("weights", PROMPT) == pytest.approx({"a": 0.8, "b": 0.2})
    assert model.following("weights", PROMPT, "a ") == pytest.approx({"b": 0.625, "c": 0.375})
    [group] = model.draw([ask(400)], None)
    counts = Counter(one.text for one in group)
    for text, share in SAYS.items():
        assert abs(counts[text] / 400 - share) < 4 * math.sqrt(share * (1 - share) / 400)
        one = next(one for one in group if one.text == text)
        assert one.logprobs and math.exp(one.logprobs["sum"]) == pytest.approx(share)
        [row] = model.logprobs_of(HERE, [one])
        assert len(row) == one.logprobs["count"] and sum(row) == pytest.approx(math.log(share))
    [[best]] = model.draw([Ask(checkpoint=HERE, prompt=PROMPT, sampling=GREEDY)], None)
    assert best.text == "a b #1"


def test_a_sample_depends_on_its_number_only_and_a_limit_cuts_it(table_model: ModuleType) -> None:
    model = table_model.TableModel(table={"q": SAYS})
    [whole] = model.draw([ask(8)], None)
    [later] = model.draw([Ask(checkpoint=HERE, prompt=PROMPT, n=4, first=4, seed=3)], None)
    assert later == whole[4:]
    [short] = model.draw([ask(8, max_completion_length=2)], None)
    assert [one.text for one in short] == [one.text[: len(a.text)] for one, a in zip(whole, short, strict=True)]
    assert {one.info["finish_reason"] for one in short} == {"length", "stop"}
    begun = Prompt(prompt=[*PROMPT.prompt, {"role": "assistant", "content": "a c"}])
    [[rest]] = model.draw([Ask(checkpoint=HERE, prompt=begun)], None)
    assert rest.text == " #1"
    [[stopped]] = model.draw([Ask(checkpoint=HERE, prompt=begun, sampling=Sampling(stop=("#",)))], None)
    assert stopped.text == " #" and stopped.info["stop_string"] == "#"


def test_statistics_and_rivals_are_those_of_the_table(table_model: ModuleType) -> None:
    model = table_model.TableModel(table={"q": {"a": 0.75, "b": 0.25}})
    note = ("logprob", "entropy", "self_certainty")
    [group] = model.draw([ask(8, note=note, tops=3)], None)
    one = next(one for one in group if one.text == "a")
    assert one.noted["logprob"] == pytest.approx([math.log(0.75), 0.0])
    assert one.noted["entropy"] == pytest.approx([-0.75 * math.log(0.75) - 0.25 * math.log(0.25), 0.0])
    certain = -math.log(16) - 15 * FLOOR / 16
    parted = -math.log(16) - (math.log(0.75) + math.log(0.25) + 14 * FLOOR) / 16
    assert one.noted["self_certainty"] == pytest.approx([parted, certain]) and certain > parted
    assert one.tops[0] == pytest.approx({"a": math.log(0.75), "b": math.log(0.25), "~0": FLOOR})
    assert one.noted == {name: model.logprobs_of(HERE, [one], name)[0] for name in note}


def test_chains_answer_the_quiz_through_the_desk(table_model: ModuleType) -> None:
    made = table_model.answered(SelfConsistency(samples=5), 4, lambda messages: {"so #4": 0.9, "#5": 0.1})
    assert [(one.text, one.reward, one.info["spent"]["completions"]) for one in made] == [("so #4", 1.0, 5)] * 4
    engine = table_model.TableModel(table={"q": SAYS})
    row = next(one for one in engine.draw([ask(9)], None)[0] if one.text.startswith("a"))
    with table_model.Copies(engine).trained(HERE, [row], None) as copy:
        before, after = (engine.following(path, PROMPT) for path in (HERE.path, copy.path))
    assert after["a"] == pytest.approx(before["a"] / 2 + 0.5)
