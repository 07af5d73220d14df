"""What methods declare that they use."""

import pytest

from selfimprove.errors import Refused
from selfimprove.methods.reward.judge import Judge
from selfimprove.needs import Hold, Needs, called


def test_needs_add_up() -> None:
    one = Needs(roles=("judge",), statistics=("entropy",))
    both = one + Needs(roles=("hint",), one_process=True)
    assert both == Needs(roles=("judge", "hint"), statistics=("entropy",), one_process=True)
    assert one + Needs() == one


def test_an_engine_lacks_abilities_and_what_statistics_take() -> None:
    needs = Needs(engine=("stop", "tops"), statistics=("entropy", "logprob"))
    assert needs.missing({"tops"}) == ["stop", "logprobs"]
    assert needs.missing({"tops", "stop", "logprobs"}) == []
    assert Needs(packages=("json", "no_such_package")).not_installed() == ["no_such_package"]


def test_a_hold_refuses_what_was_not_declared_and_says_what_to_write() -> None:
    hold = Hold.of(Judge())
    hold.use("roles", "judge", "solve")
    with pytest.raises(Refused) as caught:
        hold.use("statistics", "entropy")
    assert str(caught.value) == (
        "reward.judge uses the statistic 'entropy' and does not declare it: its needs() must return "
        "Needs(statistics=('entropy',))"
    )


def test_a_method_is_called_by_its_place_in_a_recipe_or_by_its_class() -> None:
    assert (called(Judge()), called(object())) == ("reward.judge", "object")
