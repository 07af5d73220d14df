"""`rspo`: both divergences by hand, `sppo` without them, and that they hold the policy back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from selfimprove.errors import DataError, RecipeError
from selfimprove.methods.engine.transformers import Transformers
from selfimprove.methods.optimization.rspo import Rspo, divergences
from selfimprove.methods.optimization.sppo import Sppo
from selfimprove.records import Checkpoint, Preference
from selfimprove.training import Tokens

STILL: dict[str, Any] = {"learning_rate": 0.0, "max_steps": 10}


def winning(pairs: list, chosen: float = 0.9, rejected: float = 0.3) -> list:
    return [replace(pair, info={"p_chosen": chosen, "p_rejected": rejected}) for pair in pairs]


@pytest.mark.long
def test_the_divergences_by_hand(couples: list, setting: Callable, scores_of: Callable) -> None:
    """The policy stands still away from the reference: sppo's part is known, the rest follows from the log-ratios."""
    given = setting("moved")
    moved = Sppo(beta=0.5, learning_rate=1e-3, max_steps=3).optimize(winning(couples), given)
    here = setting("here")
    here = replace(here, policy=replace(here.policy, checkpoint=moved, engine=Transformers()))
    Rspo(beta=0.5, forward_kl=2.0, reverse_kl=3.0, **STILL).optimize(winning(couples), here)
    wanted = 0.0
    for now, before in zip(scores_of(couples, moved), scores_of(couples), strict=True):
        for gap in (new - old for pair in zip(now, before, strict=True) for new, old in zip(*pair, strict=True)):
            weight = math.exp(-gap)  # training starts from the moved weights, so ref / pi_t is 1 / r
            wanted += weight * 2.0 * (math.exp(gap) - 1 - gap)
            wanted += weight * 3.0 * (gap * math.exp(gap) - math.exp(gap) + 1)
    assert wanted > 0.1, "else the test shows nothing"
    game = ((0.9 - 0.5) ** 2 + (0.3 - 0.5) ** 2) / 0.5**2 / 2
    assert here.log.metrics["train/loss"] == pytest.approx(game + wanted / len(couples), rel=1e-3)


@pytest.mark.runs
def test_without_divergences_it_is_sppo(couples: list, setting: Callable, scores_of: Callable) -> None:
    plan: dict[str, Any] = {"beta": 0.5, "learning_rate": 1e-3, "max_steps": 5}
    ours = Rspo(forward_kl=0.0, reverse_kl=0.0, **plan).optimize(winning(couples), setting("ours"))
    theirs = Sppo(**plan).optimize(winning(couples), setting("theirs"))
    assert scores_of(couples, ours) == scores_of(couples, theirs)


def test_what_is_known_of_completions_that_were_cut_off_has_no_end(
    cut: list, setting: Callable, small: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Any]()
    monkeypatch.setattr("selfimprove.training.pairs", lambda *_, known, **__: asked.extend(known))
    given = setting()
    moved = replace(given.policy, checkpoint=Checkpoint(path="moved"), engine=Transformers())
    won = {"p_chosen": 0.9, "p_rejected": 0.3}
    Rspo().optimize([Preference.of(*sides, info=won) for sides in cut], replace(given, policy=moved))
    wanted = [Transformers().logprobs_of(small, sides) for sides in cut]
    assert [[*sides] for sides in asked] == [[pytest.approx(row, abs=1e-4) for row in sides] for sides in wanted]


def tokens(now: float, before: float, known: float) -> Tokens:
    import torch

    return Tokens(*(torch.tensor([[number] * 2000], requires_grad=True) for number in (now, before, known)))


@pytest.mark.parametrize(
    ("now", "known", "forward", "reverse"),
    [
        (-1.0, -1.0, 0.0, 0.0),
        (-1.0, -1.5, 1 - math.exp(-0.5) * 1.5, 0.5 - 1 + math.exp(-0.5)),  # w (r - 1 - log r) with w r = 1, log r = 1/2
        (-2.0, -2.0, 0.0, 0.0),
        (-1.0, -21.0, 1.0, 19.0),  # round 0 finds the token all but impossible: only the reverse one grows
        (-1.0, 0.0, 1.0, math.e - 2),  # w = e, w r = 1, log r = -1
    ],
)
def test_the_divergences_of_two_thousand_equal_tokens(now: float, known: float, forward: float, reverse: float) -> None:
    """Per token, times 2000; as ratios of whole completions these would be e^1000 and more."""
    found = [one.item() / 2000 for one in divergences(tokens(now, -1.0, known))]
    assert found == pytest.approx([forward, reverse], abs=1e-4)


@pytest.mark.parametrize(("now", "known"), [(-100.0, -1.0), (-1.0, -200.0), (-200.0, -1.0), (-0.001, -0.001)])
def test_no_divergence_overflows_or_loses_its_pull(now: float, known: float) -> None:
    """Where pi lies below the reference the forward one pulls it up, where above it the reverse one pulls it down."""
    given = tokens(now, -101.0, known)
    forward, reverse = divergences(given)
    assert forward.isfinite().all() and reverse.isfinite().all()
    (forward + reverse).sum().backward()
    pull = given.now.grad
    assert pull.isfinite().all() and (pull < 0 if now < known else pull > 0 if now > known else pull == 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(("options", "sides"), [({"forward_kl": 30.0}, (0, 1)), ({"reverse_kl": 30.0}, (0,))])
def test_each_divergence_holds_the_policy_near(
    couples: list, setting: Callable, scores_of: Callable, options: dict, sides: tuple[int, ...]
) -> None:
    """Both hold what becomes likelier; only the forward one holds what becomes less likely."""
    plan: dict[str, Any] = {"beta": 0.2, "learning_rate": 2e-3, "max_steps": 15, "forward_kl": 0.0, "reverse_kl": 0.0}
    pairs = winning(couples)

    def moved(checkpoint: Any, side: int) -> float:
        rows = zip(scores_of(pairs, checkpoint)[side], scores_of(pairs)[side], strict=True)
        return sum(abs(sum(new) - sum(old)) for new, old in rows)

    free = Rspo(**plan).optimize(pairs, setting("free"))
    held = Rspo(**{**plan, **options}).optimize(pairs, setting("held"))
    for side in sides:
        assert moved(held, side) < 0.8 * moved(free, side)


def test_pairs_without_win_rates_are_refused(couples: list, setting: Callable) -> None:
    with pytest.raises(DataError, match="sppo_pairs"):
        Rspo().optimize(couples, setting())


@pytest.mark.parametrize("options", [{"restart": "best"}, {"reference": "last"}])
def test_unknown_choices_are_refused(options: dict) -> None:
    with pytest.raises(RecipeError):
        Rspo(**options)
