"""The ladder: which reason, which rung, how far, and that a replay climbs it the same way."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.errors import RecipeError
from selfimprove.interfaces import Controller
from selfimprove.loop.loop import Runner
from selfimprove.methods.controller.retry import LADDERS, LIMITS, Retry
from selfimprove.methods.gate.ratchet import Ratchet
from selfimprove.recipe import compose
from selfimprove.records import Alert, Decision, Report
from selfimprove.rounds import Round, Stop

SFT = {
    "acquisition": {"seed_prompts": {"problems": 500}, "rejection_sampling": {"samples": 8, "temperature": 1.0}},
    "selection": {"threshold": {"per_prompt": None}, "length_filter": {"min_length": 1, "max_length": None}},
    "optimization": {"sft": {"learning_rate": 1e-3, "max_steps": 40, "num_train_epochs": 3.0, "data": "all_rounds"}},
}
DPO = {
    "acquisition": {"seed_prompts": {"problems": None}, "rejection_sampling": {"samples": 30, "temperature": 0.0}},
    "selection": {"best_vs_worst": {"pairs": 1}},
    "optimization": {"dpo": {"learning_rate": 1e-6, "max_steps": -1, "num_train_epochs": 1.0, "beta": 0.1}},
}
STEPS, RATE = "optimization.sft.max_steps", "optimization.sft.learning_rate"


def climb(method: Controller, history: Sequence[Round], settings: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """What the controller says after each round, as a run asks it, and the recipe that is in force at the end."""
    said, now = [], copy.deepcopy(settings)
    for number in range(1, len(history)):
        overrides = method.next(history[: number + 1], now)
        assert not isinstance(overrides, Stop)
        said.append(overrides)
        for key, value in overrides.items():
            slot, name, option = key.split(".")
            now[slot][name][option] = value
    return said, now


def test_no_effect_doubles_steps_then_learning_rate_then_data(make_history: Callable) -> None:
    history = make_history("hrhh")
    data = {"acquisition.seed_prompts.problems": 1000}
    assert climb(Retry(max_retries=3), history, SFT)[0] == [{STEPS: 80}, {RATE: 2e-3}, data, {}]
    assert climb(Retry(), history, SFT)[0] == [{STEPS: 80}, {RATE: 2e-3}, {}, {}]


def test_harm_halves_learning_rate_then_steps(make_history: Callable) -> None:
    history = make_history("rrr", n=100, gained=2, lost=10)  # 10 of 12 changes are losses: p = 0.019
    assert climb(Retry(max_retries=3), history, SFT)[0] == [{RATE: 5e-4}, {STEPS: 20}, {}]
    said = climb(Retry(max_retries=3), history, DPO)[0]
    assert said == [
        {f"optimization.dpo.{name}": value}
        for name, value in (("learning_rate", 5e-7), ("num_train_epochs", 0.5), ("beta", 0.2))
    ]


@pytest.mark.parametrize(
    ("verdict", "gained", "lost", "first"),
    [
        ("r", 3, 10, {RATE: 5e-4}),  # p = 0.046
        ("r", 4, 10, {STEPS: 80}),  # p = 0.090: not shown to be worse
        ("b", 4, 4, {RATE: 5e-4}),  # a rollback is the gate's word for harm
        ("a", 3, 10, {}),  # accepted all the same
        ("c", 9, 0, {}),
    ],
)
def test_harm_is_what_the_gate_or_the_test_says(
    make_history: Callable, verdict: str, gained: int, lost: int, first: dict[str, Any]
) -> None:
    assert Retry().next(make_history(verdict, gained=gained, lost=lost), SFT) == first


def test_an_incumbent_that_fell_below_the_champion_is_harm_too(make_round: Callable, make_report: Callable) -> None:
    low, high = make_report([0.0] * 8 + [1.0] * 92), make_report([1.0] * 100)
    history = [make_round(0), make_round(1, "r", champion=high, incumbent=low, candidate=low)]
    assert Retry().next(history, SFT) == {RATE: 5e-4}


@pytest.mark.parametrize(
    ("alarm", "said"),
    [
        ("forgetting", [{RATE: 5e-4}, {STEPS: 20}]),
        ("reversal", [{RATE: 5e-4}, {STEPS: 20}]),
        (
            "large_k",
            [{"selection.threshold.per_prompt": 2, "acquisition.rejection_sampling.temperature": 1.2}, {RATE: 5e-4}],
        ),
        ("reward_hacking", [{"optimization.sft.data": "newest", STEPS: 20}, {RATE: 5e-4}]),
        ("contamination", [{}, {}]),  # no option can help
        ("an alarm of a plugin", [{RATE: 5e-4}, {STEPS: 20}]),  # the gate rolled back: as harm
    ],
)
def test_an_alarm_of_level_2_names_the_reason(make_history: Callable, alarm: str, said: list[dict[str, Any]]) -> None:
    assert climb(Retry(), make_history("bb", alarms=[(alarm, 2)]), SFT)[0] == said
    shown = climb(Retry(), make_history("hh", alarms=[(alarm, 1)]), SFT)[0]
    assert shown == [{STEPS: 80}, {RATE: 2e-3}], "level 1 is only shown"


@pytest.mark.parametrize(
    ("alarm", "option"),
    [("large_k", RATE), ("length", RATE), ("majority_collapse", "optimization.sft.data")],
)
def test_harm_that_is_shown_explains_all_alarms_but_those_about_the_signal(
    make_history: Callable, alarm: str, option: str
) -> None:
    history = make_history("b", gained=2, lost=10, alarms=[("diversity", 2), (alarm, 2)])
    assert option in climb(Retry(), history, SFT)[0][-1]


@pytest.mark.parametrize(
    ("guard", "option"),
    [("probe/short", RATE), ("ood/long", RATE), ("level/3", RATE), ("pass@16", "selection.threshold.per_prompt")],
)
def test_a_guard_that_fell_names_the_reason(make_history: Callable, guard: str, option: str) -> None:
    assert option in climb(Retry(), make_history("b", fallen=[guard]), SFT)[0][-1]


@pytest.mark.parametrize("candidates_own", [True, False], ids=["of the candidate", "of the incumbent"])
def test_a_guard_that_fell_at_the_gate_names_the_reason(
    make_round: Callable, make_report: Callable[..., Report], candidates_own: bool
) -> None:
    guard = {str(i): 1.0 for i in range(100)}
    lost = {str(i): float(i >= 12) for i in range(100)}
    champion = replace(make_report([1.0] * 50 + [0.0] * 50), parts={"pass@16": guard})
    narrow = replace(make_report([1.0] * 80 + [0.0] * 20), parts={"pass@16": lost})
    incumbent = champion if candidates_own else narrow
    decision = Ratchet().decide(champion, incumbent, narrow, [], [make_round(0)], 3)
    assert decision.verdict == "rollback" and decision.statistics["fallen"] == ["pass@16"]
    failed = make_round(1, champion=champion, incumbent=incumbent, candidate=narrow, decision=decision)
    said = climb(Retry(), [make_round(0), failed], SFT)[0]
    assert said == [{"selection.threshold.per_prompt": 2, "acquisition.rejection_sampling.temperature": 1.2}]


def test_forgetting_and_harm_are_two_ladders(make_round: Callable) -> None:
    history = [
        make_round(0),
        make_round(1, "b"),
        make_round(2, "b", fallen=["level/3"]),
        make_round(3, "b", fallen=["ood/x"]),
    ]
    assert climb(Retry(), history, SFT)[0] == [{RATE: 5e-4}, {RATE: 2.5e-4}, {STEPS: 20}]


def test_lengths_are_kept_as_the_champion_has_them(
    make_round: Callable, make_rollout: Callable, make_report: Callable
) -> None:
    cut = make_rollout("x" * 99, info={"finish_reason": "length"})
    champion = make_report([1.0], [make_rollout("1234"), make_rollout("123456"), cut])
    history = [make_round(0), make_round(1, "b", alarms=[("length", 2)], champion=champion)]
    bounds = {"selection.length_filter.max_length": 6, "selection.length_filter.min_length": 4}
    assert Retry().next(history, SFT) == bounds
    assert Retry().next(history, DPO) == {"optimization.dpo.learning_rate": 5e-7}, "no filter: the rung is left out"


def test_a_candidate_that_lost_what_the_incumbent_had_gained_is_harm(
    make_round: Callable, make_report: Callable
) -> None:
    low, high = make_report([0.0] * 8 + [1.0] * 92), make_report([1.0] * 100)
    history = [make_round(0), make_round(1, "r", champion=low, incumbent=high, candidate=low)]
    assert Retry().next(history, SFT) == {RATE: 5e-4}


def test_another_reason_begins_its_own_ladder_and_a_success_ends_it_and_keeps_what_worked(
    make_round: Callable,
) -> None:
    worse = {"gained": 0, "lost": 9}
    history = [make_round(0), make_round(1, "h"), make_round(2, "r", **worse), make_round(3, "a"), make_round(4, "h")]
    said, now = climb(Retry(), history, SFT)
    assert said == [{STEPS: 80}, {RATE: 5e-4}, {}, {STEPS: 160}]
    assert now["optimization"]["sft"]["max_steps"] == 160 and now["optimization"]["sft"]["learning_rate"] == 5e-4


def test_the_factors_of_a_knob_stay_within_its_bounds(make_history: Callable) -> None:
    steps = [said.get(STEPS) for said in climb(Retry(), make_history("hahaha"), SFT)[0]]
    assert steps == [80, None, 160, None, None, None], "4 times as many, no more"
    one = climb(Retry(bounds={**LIMITS, "steps": 1.0}), make_history("hh"), SFT)[0]
    assert one == [{}, {RATE: 2e-3}]
    warmer = [{"acquisition.rejection_sampling.temperature": value} for value in (1.2, 1.44, 1.5)]
    settings = {**SFT, "selection": {}}
    alarmed = make_history("bababab", alarms=[("entropy", 2)])
    assert climb(Retry(), alarmed, settings)[0] == [warmer[0], {}, warmer[1], {}, pytest.approx(warmer[2]), {}, {}]


def test_options_that_the_recipe_lacks_are_left_out(make_history: Callable) -> None:
    bare = {
        "acquisition": {"seed_prompts": {"problems": 20}},
        "selection": {},
        "optimization": {"practice": {"gain": 1}},
    }
    assert climb(Retry(), make_history("hh"), bare)[0] == [{"acquisition.seed_prompts.problems": 40}, {}]
    assert climb(Retry(), make_history("bb"), bare)[0] == [{}, {}]
    greedy = climb(Retry(), make_history("bb", alarms=[("diversity", 2)]), DPO)[0]
    assert greedy == [{"optimization.dpo.learning_rate": 5e-7}, {}], "a temperature of 0 stays greedy"


def test_what_is_set_already_is_not_set_again(make_history: Callable) -> None:
    settings = copy.deepcopy(SFT)
    settings["selection"]["threshold"]["per_prompt"] = 1
    said = Retry().next(make_history("b", alarms=[("diversity", 2)]), settings)
    assert said == {"acquisition.rejection_sampling.temperature": 1.2}


@pytest.mark.parametrize("autonomy", [0, 1, 2])
def test_below_level_3_nothing_changes(make_history: Callable, autonomy: int) -> None:
    for verdicts, alarms in (("hh", ()), ("bb", ()), ("bb", [("length", 2)])):
        assert climb(Retry(autonomy=autonomy), make_history(verdicts, alarms=alarms), SFT) == ([{}, {}], SFT)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bounds": {"step": 2.0}}, "Did you mean 'steps'"),
        ({"bounds": {"steps": 0.5}}, "controller.retry.bounds.steps is 0.5"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Retry(**options)


ALARMS = ("forgetting", "diversity", "length", "reward_hacking", "contamination", "unknown")
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["certify", "accept", "hold", "reject", "rollback"]),
        st.lists(st.tuples(st.sampled_from(ALARMS), st.integers(1, 2)), max_size=2),
        st.integers(0, 30),
    ),
    max_size=14,
)


def history_of(events: list[tuple[str, list[tuple[str, int]], int]]) -> list[Round]:
    base = Report(metrics={}, scores={f"p{i}": 1.0 for i in range(40)})
    history = [Round(round=0, rounds=9, champion=base)]
    for number, (verdict, alarms, lost) in enumerate(events, 1):
        candidate = Report(metrics={}, scores={key: float(i >= lost) for i, key in enumerate(base.scores)})
        history.append(
            Round(
                round=number,
                rounds=9,
                champion=base,
                incumbent=base,
                candidate=candidate,
                alerts=[Alert(alarm=name, level=level, text="t") for name, level in alarms],
                decision=Decision(verdict=verdict, reason="r"),
            )
        )
    return history


@given(EVENTS, st.sampled_from([SFT, DPO]), st.integers(0, 4))
def test_whatever_happens_no_option_leaves_its_bounds(events: list, settings: dict[str, Any], tries: int) -> None:
    _, now = climb(Retry(max_retries=tries), history_of(events), settings)
    knobs = {"learning_rate": "learning_rate", "beta": "beta", "num_train_epochs": "steps", "max_steps": "steps"}
    for slot, options in (("optimization", knobs), ("acquisition", {"problems": "data", "temperature": "temperature"})):
        for name, method in now[slot].items():
            for option, value in method.items():
                before, limit = settings[slot][name][option], LIMITS.get(options.get(option, ""))
                if limit is not None and before:
                    assert type(value) is type(before)
                    assert 1 / limit - 1e-9 <= value / before <= limit + 1e-9, f"{slot}.{name}.{option}"


@given(EVENTS, st.sampled_from([SFT, DPO]))
def test_the_same_history_gives_the_same_overrides_and_is_left_alone(events: list, settings: dict[str, Any]) -> None:
    history, kept = history_of(events), copy.deepcopy(settings)
    said, _ = climb(Retry(), history, settings)
    assert climb(Retry(), history_of(events), settings)[0] == said
    for end in range(len(history)):
        assert climb(Retry(), history[: end + 1], settings)[0] == said[:end], "later rounds change no earlier decision"
    assert settings == kept and history == history_of(events)


SELECTION = {"star": ["selection=[threshold,length_filter]"], "iterative_dpo": []}


@cache
def loaded(name: str) -> dict[str, Any]:
    return compose.load(name, SELECTION[name])[1]


@pytest.mark.parametrize(
    ("name", "reason", "rungs"),
    [
        *(("star", reason, 3 if reason in ("no effect", "length") else 2) for reason in LADDERS if LADDERS[reason]),
        *(("iterative_dpo", reason, 3) for reason in ("no effect", "harm", "hacking")),
        *(("iterative_dpo", reason, 2) for reason in ("diversity", "length")),
    ],
)
def test_what_it_says_composes_with_a_real_recipe(
    make_history: Callable, make_report: Callable, make_rollout: Callable, name: str, reason: str, rungs: int
) -> None:
    alarm = {"diversity": "entropy", "hacking": "majority_collapse"}.get(reason, reason)
    alarms = [] if reason in ("no effect", "harm") else [(alarm, 2)]
    report = make_report([1.0], [make_rollout("1234")])
    same = {"champion": report, "incumbent": report, "candidate": report, "alarms": alarms}
    history = make_history("hhh" if reason == "no effect" else "bbb", **same)
    said, now = climb(Retry(max_retries=3), history, loaded(name))
    assert [bool(overrides) for overrides in said] == [place < rungs for place in range(3)]
    changes = {key: value for overrides in said for key, value in overrides.items()}
    values = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    assert compose.load(name, [*SELECTION[name], *values])[1] == now


@pytest.mark.runs
def test_the_next_round_is_run_with_what_it_says(make_run: Callable) -> None:
    folder, log = make_run("controller=[budget,retry]", "optimization.practice.gain=0", "rounds=3")
    Runner(folder, log).run()
    lines = [json.loads(line) for line in (folder.root / "metrics.jsonl").read_text().splitlines()]
    assert [line["acquisition/records"] for line in lines[1:]] == [80, 160, 160]


@pytest.mark.runs
def test_a_stop_wins_over_what_the_others_say(make_run: Callable) -> None:
    folder, log = make_run(
        "controller=[retry,plateau]", "controller.plateau.patience=1", "optimization.practice.gain=0"
    )
    summary = Runner(folder, log).run()
    assert summary["rounds"] == 1 and summary["stopped"] == "no accepted candidate in 1 rounds"


def test_bounds_of_a_recipe_are_laid_over_the_defaults(make_recipe: Callable) -> None:
    path = make_recipe("defaults:\n  - controller: [retry]\ncontroller: {retry: {bounds: {steps: 8}}}\n")
    recipe, _ = compose.load(path, ["controller.retry.bounds.beta=1"])
    method = recipe.controller["retry"]
    assert isinstance(method, Retry) and method.bounds == {**LIMITS, "steps": 8.0, "beta": 1.0}
