"""Recipes: what composes, and that every mistake is answered with one clear line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove import registry
from selfimprove.errors import MissingError, RecipeError, UserError
from selfimprove.recipe import compose, yaml_file
from selfimprove.recipe.compose import load, runnable
from selfimprove.recipe.schema import DEFAULTS, Recipe


def refused(path: Any, *overrides: str) -> str:
    """The message of a recipe that cannot be used; it is one line without control characters."""
    with pytest.raises(RecipeError) as error:
        load(path, overrides)
    message = str(error.value)
    assert message.isprintable() and error.value.code == 2
    return message


# ---- what composes -----------------------------------------------------------------------------------------------
def test_an_empty_recipe_is_the_default_loop(make_recipe: Callable) -> None:
    composed, settings = load(make_recipe("rounds: 2\n"))
    assert composed.rounds == settings["rounds"] == 2
    assert {slot: list(getattr(composed, slot)) for slot in registry.SLOTS} == DEFAULTS
    assert all(isinstance(m, base) for slot, base in registry.SLOTS.items() for m in getattr(composed, slot).values())


def test_methods_come_with_their_options_and_in_order(make_recipe: Callable) -> None:
    path = make_recipe("defaults:\n  - selection: [dedup, threshold]\nselection: {threshold: {min_score: 0.5}}\n")
    composed, settings = load(path)
    assert list(composed.selection) == list(settings["selection"]) == ["dedup", "threshold"]
    assert composed.selection["threshold"].min_score == 0.5
    assert settings["selection"]["threshold"] == {"min_score": 0.5, "per_prompt": None}


def test_overrides_win_over_the_file_and_the_last_one_wins(make_recipe: Callable) -> None:
    path = make_recipe("rounds: 2\nselection: {threshold: {per_prompt: 4}}\n")
    composed, _ = load(path, ["rounds=5", "rounds=7", "selection.threshold.per_prompt=null", "refinement=best_of_n"])
    assert composed.rounds == 7 and composed.the("selection").per_prompt is None
    assert list(composed.refinement) == ["best_of_n"]


def test_overrides_of_a_method_that_is_swapped_in_may_stand_before_it(make_recipe: Callable) -> None:
    composed, _ = load(make_recipe("rounds: 1\n"), ["gate.paired_test.alpha=0.2", "gate=paired_test"])
    assert composed.the("gate").alpha == 0.2


@pytest.mark.parametrize("spelled", ["[dedup, threshold]", "dedup,threshold", "['dedup','threshold']"])
def test_a_list_of_methods_on_the_command_line(make_recipe: Callable, spelled: str) -> None:
    assert list(load(make_recipe("rounds: 1\n"), [f"selection={spelled}"])[0].selection) == ["dedup", "threshold"]


REAL = sorted(path.stem for path in compose.shipped().glob("*.yaml") if "- model: pretrained" in path.read_text())
OPENAI = ("engine.openai.base_url=http://127.0.0.1:9/v1", "engine.openai.model=m")


@pytest.mark.long
@pytest.mark.parametrize("name", REAL)
def test_a_swapped_in_engine_draws_completions_as_long_as_the_recipe_says(name: str) -> None:
    length = load(name)[0].the("engine").max_completion_length
    for engine in (["engine=vllm"], ["engine=openai", *OPENAI]):
        composed, _ = load(name, engine)
        assert composed.the("engine").max_completion_length == length
        assert {getattr(m, "max_completion_length", length) for m in composed.optimization.values()} == {length}


@pytest.mark.long
def test_what_two_engines_both_have_goes_over_when_one_is_swapped_for_the_other(make_recipe: Callable) -> None:
    options = "{transformers: {max_completion_length: 77, dtype: bfloat16, batch_size: 3}, vllm: {dtype: float16}}"
    path = make_recipe(f"engine: {options}\n")
    engine = load(path, ["engine=vllm"])[0].the("engine")
    assert (engine.max_completion_length, engine.dtype) == (77, "float16"), "what is set for the new one goes first"
    assert (
        load(path, ["engine.vllm.max_completion_length=9", "engine=vllm"])[0].the("engine").max_completion_length == 9
    )
    assert load(path)[0].the("engine").dtype == "bfloat16"
    judged = ["reward=judge", "engine.openai.roles=[judge]", *OPENAI]
    both = load(path, ["engine=[vllm,openai]", *judged])[0].engine
    assert [engine.max_completion_length for engine in both.values()] == [77, 512], "a judge's length is its own"
    beside = load(path, ["engine=[transformers,openai]", *judged])[0].engine
    assert [engine.max_completion_length for engine in beside.values()] == [77, 512]
    assert load(make_recipe("engine: {transformers: 3}\n"), ["engine=fake"])[0].the("engine").roles == []


def test_options_of_a_swapped_out_method_are_dropped(make_recipe: Callable) -> None:
    path = make_recipe("defaults: [gate: paired_test]\ngate: {paired_test: {alpha: 0.01}}\n")
    _, settings = load(path, ["gate=keep_best"])
    assert settings["gate"] == {"keep_best": {}}


@pytest.mark.long
def test_the_bench_block_scales_down_to_the_tiny_model_and_to_no_other(make_recipe: Callable) -> None:
    path = make_recipe(
        "rounds: 9\nseed: 4\nselection: {threshold: {per_prompt: 8}}\nbench: {rounds: 2, selection: {threshold: {min_score: 0.5}}}\n"
    )
    _, tiny = load(path)
    assert (tiny["rounds"], tiny["seed"]) == (2, 4) and "bench" not in tiny
    assert tiny["selection"]["threshold"] == {"min_score": 0.5, "per_prompt": 8}
    _, large = load(path, ["model=pretrained", "model.pretrained.path=x"])
    assert large["rounds"] == 9 and large["selection"]["threshold"] == {"min_score": 1.0, "per_prompt": 8}
    assert load(path, ["rounds=5"])[1]["rounds"] == 5
    _, whole = load(path, ["bench=false"])
    assert whole["rounds"] == 9 and whole["selection"]["threshold"] == {"min_score": 1.0, "per_prompt": 8}


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-4", 1e-4), ("1E-4", 1e-4), ("5e5", 5e5), ("0.5", 0.5), (".5", 0.5), ("3", 3.0), ("+1.5e-3", 1.5e-3)],
)
def test_numbers_are_numbers(make_recipe: Callable, written: str, value: float) -> None:
    assert yaml_file.read(make_recipe(f"share: {written}\n")) == {"share": value}


def test_small_numbers_and_words_arrive_in_the_method(make_recipe: Callable) -> None:
    path = make_recipe("optimization: {sft: {learning_rate: 1e-4, lr_scheduler_type: no}}\n")
    method = load(path)[0].the("optimization")
    assert method.learning_rate == 1e-4 and method.lr_scheduler_type == "no"


def test_a_null_slot_and_a_method_without_options_keep_the_defaults(make_recipe: Callable) -> None:
    path = make_recipe("gate:\ntask: {chain_sums: }\n")
    assert load(path)[1] == load(make_recipe("rounds: 3\n", "other"))[1]


@pytest.mark.long
def test_a_saved_recipe_reloads_to_the_same_settings(make_recipe: Callable) -> None:
    changes = ["seed=3", "selection=[dedup,threshold]", "selection.threshold.min_score=0.25", "evaluation=pass_at_k"]
    _, settings = load("quickstart", [*changes, "optimization.sft.learning_rate=1e-7", "model.tiny.roles=[solve,hint]"])
    saved = make_recipe(runnable(settings))
    _, again = load(saved)
    assert again == settings and runnable(again) == saved.read_text()
    assert list(again["selection"]) == ["dedup", "threshold"] and again["optimization"]["sft"]["learning_rate"] == 1e-7


def test_a_saved_recipe_keeps_texts_that_look_like_other_things(make_recipe: Callable) -> None:
    answers = {"S:1+2=": {"1+2=3#3": 1.0, "no": 0.5, "1e-4": 0.5, "null": 0.5, "": 0.5, "a: b\n- c # d \u2028": 0.5}}
    first = make_recipe(json.dumps({"defaults": [{"engine": "fake"}], "engine": {"fake": {"answers": answers}}}))
    _, settings = load(first)
    assert settings["engine"]["fake"]["answers"] == answers
    assert load(make_recipe(runnable(settings), "saved"))[1] == settings


def test_settings_are_plain_json() -> None:
    _, settings = load("quickstart")
    assert json.loads(json.dumps(settings)) == settings


def test_the_chain_may_hold_no_reward_and_no_selection(make_recipe: Callable) -> None:
    composed, _ = load(make_recipe("defaults: [reward: [], selection: []]\n"))
    assert composed.reward == {} and composed.selection == {}


def test_methods_that_take_any_records_pass_the_kind_on(make_recipe: Callable) -> None:
    path = make_recipe("defaults: [selection: [everything, best_vs_worst, dedup], optimization: dpo]\n")
    assert list(load(path)[0].selection) == ["everything", "best_vs_worst", "dedup"]


# ---- names that do not exist -------------------------------------------------------------------------------------
def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(MissingError, match=r"'quickstar' and no shipped recipe.* Did you mean 'quickstart'\?") as error:
        load("quickstar")
    assert error.value.code == 66


@pytest.mark.parametrize("name", ["nowhere/quickstart.yaml", "../quickstart", "quickstart.yml", "", "."])
def test_a_path_does_not_fall_back_on_a_shipped_recipe(name: str) -> None:
    with pytest.raises(MissingError):
        load(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("defaults: [selektion: threshold]", "no slot is called 'selektion'. Did you mean 'selection'?"),
        ("defaults: [selection: treshold]", "no selection is called 'treshold'. Did you mean 'threshold'?"),
        ("selection: {treshold: {min_score: 1}}", "no selection is called 'treshold'. Did you mean 'threshold'?"),
        (
            "selection: {threshold: {minscore: 1}}",
            "selection 'threshold' has no option 'minscore'. Did you mean 'min_score'?",
        ),
        ("roundz: 3", "unknown key 'roundz'. Did you mean 'rounds'?"),
        ("selektion: {threshold: {}}", "unknown key 'selektion'. Did you mean 'selection'?"),
    ],
)
def test_an_unknown_name_in_the_file_is_answered_with_the_nearest(
    make_recipe: Callable, text: str, expected: str
) -> None:
    assert expected in refused(make_recipe(text + "\n"))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("selektion=threshold", "unknown key 'selektion'. Did you mean 'selection'?"),
        ("selection=treshold", "no selection is called 'treshold'. Did you mean 'threshold'?"),
        ("selection.treshold.min_score=1", "no selection is called 'treshold'. Did you mean 'threshold'?"),
        ("selection.threshold.minscore=1", "selection 'threshold' has no option 'minscore'. Did you mean 'min_score'?"),
        ("task.chain_sums.lvl=3", "task 'chain_sums' has no option 'lvl'. Did you mean 'level'?"),
        ("roundz=3", "unknown key 'roundz'. Did you mean 'rounds'?"),
        ("gate.keep_best.x=1", "the recipe does not use gate 'keep_best'; add gate=keep_best"),
    ],
)
def test_an_unknown_name_on_the_command_line_is_answered_with_the_nearest(override: str, expected: str) -> None:
    assert expected in refused("quickstart", override)


# ---- chains that do not fit --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["optimization=dpo"],
            [
                "selection 'dedup' gives Rollout records, but optimization 'dpo' takes Preference records",
                "best_vs_worst",
            ],
        ),
        (
            ["acquisition=rejection_sampling"],
            ["the start of the chain gives nothing, but acquisition 'rejection_sampling' takes Prompt", "seed_prompts"],
        ),
        (
            ["acquisition=seed_prompts"],
            [
                "acquisition 'seed_prompts' gives Prompt records, but selection 'threshold' takes Rollout",
                "rejection_sampling",
            ],
        ),
        (
            ["selection=[best_vs_worst]"],
            [
                "selection 'best_vs_worst' gives Preference records, but optimization 'sft' takes Rollout or Document records"
            ],
        ),
        (
            ["acquisition=[seed_prompts,seed_prompts_twice]"],
            ["no acquisition is called 'seed_prompts_twice'", "'seed_prompts'"],
        ),
    ],
)
def test_a_chain_that_does_not_fit_names_both_sides_and_a_bridge(overrides: list[str], expected: list[str]) -> None:
    message = refused("quickstart", *overrides)
    assert all(part in message for part in expected)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["gate=[always,keep_best]"], "gate takes one method, 2 are named"),
        (["optimization="], "optimization names no method"),
        (["acquisition=[]"], "acquisition names no method"),
        (["evaluation=[]"], "evaluation names no method"),
        (["rounds=-1"], "rounds is -1; it must be at least 0"),
        (["sealed_problems=0"], "sealed_problems is 0; it must be at least 1"),
        (["task.chain_sums.modulus=11"], "task.chain_sums.modulus is 11; it must be 2 to 10"),
    ],
)
def test_counts_and_values_that_a_method_refuses(overrides: list[str], expected: str) -> None:
    assert expected in refused("quickstart", *overrides)


def test_a_method_can_stand_in_a_slot_once(make_recipe: Callable) -> None:
    expected = "selection names 'threshold' twice"
    assert expected in refused("quickstart", "selection=[threshold,dedup,threshold]")
    assert expected in refused(make_recipe("defaults: [selection: [threshold, dedup, threshold]]\n"))


def test_a_required_option_that_is_missing_is_named() -> None:
    message = refused("quickstart", "model=pretrained")
    assert "model.pretrained.path is required" in message


# ---- files that are no recipes -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("rounds: 3\nseed: [1\n", ":3:1:", "expected ',' or ']'"),
        ("rounds: 3\n\tseed: 1\n", ":2:1:", "'\\t' that cannot start any token"),
        ("rounds: 3\nseed: 1\nrounds: 4\n", ":3:1:", "key 'rounds' appears twice"),
        ("task: {chain_sums: {level: 4, level: 5}}\n", ":1:31:", "key 'level' appears twice"),
        ("rounds: &a 3\nseed: *a\n", ":1:9:", "anchors and aliases are not used"),
        ("rounds: !!python/object/apply:os.system [echo]\n", ":1:9:", "python/object/apply:os.system"),
        ("rounds: 1\n---\nrounds: 2\n", ":2:1:", "another document"),
    ],
)
def test_what_is_no_yaml_is_refused_with_file_line_and_column(
    make_recipe: Callable, text: str, line: str, expected: str
) -> None:
    path = make_recipe(text)
    message = refused(path)
    assert message.startswith(f"{path}{line}") and expected in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- rounds: 3\n", "is not a mapping"),
        ("", "is not a mapping"),
        ("rounds\n", "is not a mapping"),
        ("task: {chain_sums: {_target_: os.system}}\n", "key '_target_' is not allowed"),
        ("_target_: os.system\n", "key '_target_' is not allowed"),
        ("hydra: {run: {dir: /tmp}}\n", "key 'hydra' is not allowed"),
        ("3: 4\n", "key 3 is not allowed"),
        ("seed: ${oc.env:HOME}\n", "'${oc.env:HOME}' is an interpolation; write the value itself"),
        ("model: {tiny: {position: 'a${seed}b'}}\n", "is an interpolation"),
        ("defaults: [selection: ['${seed}']]\n", "is an interpolation"),
        ("defaults: threshold\n", "defaults must be a list such as `- task: chain_sums`"),
        ("defaults: [threshold]\n", "cannot read 'threshold' in defaults; write `- slot: method`"),
        ("defaults: [{task: chain_sums, model: tiny}]\n", "in defaults; write `- slot: method`"),
        ("selection: [3]\n", "selection takes names of methods, or `- name: {option: value}`, not 3"),
        ("selection: 3\n", "selection must map method names to options"),
    ],
)
def test_files_that_are_no_recipes(make_recipe: Callable, text: str, expected: str) -> None:
    path = make_recipe(text)
    message = refused(path)
    assert expected in message and str(path) in message


@pytest.mark.parametrize(
    "text",
    [
        b"rounds: \xff\n",
        b"bench: 3\n",
        b"bench: [rounds]\n",
        b"bench: {roundz: 3}\n",
        b"rounds: 3\x00\n",
        b'rounds: "\x01"\n',
        b"? [a]\n: 1\n",
        b"? {a: 1}\n: 1\n",
        b"defaults: [{? [a] : b}]\n",
        b"defaults: [task: 3]\n",
        b"defaults: [task: true]\n",
        b"defaults: [selection: {threshold: 1}]\n",
        b"defaults: [selection: [[threshold]]]\n",
        b"rounds: !!int three\n",
        b"rounds: !!bool three\n",
        b"rounds: !!float three\n",
        b"rounds: !!set {a, b}\n",
        b"rounds: !!timestamp 2020-01-01\n",
        b"rounds: !!binary aGVsbG8=\n",
        b"rounds: ._\n",
        b"rounds: " + b"1" * 5000 + b"\n",
        b"rounds: " + b"[" * 5000 + b"\n",
        b"rounds: " + b"[" * 500 + b"]" * 500 + b"\n",
        b"rounds: [" + b"1," * 10_001 + b"]\n",
        b"#" * 1_000_001,
    ],
    ids=lambda text: text[:24].decode(errors="replace").strip(),
)
def test_strange_files_are_refused_in_one_line(make_recipe: Callable, text: bytes) -> None:
    path = make_recipe(text)
    assert len(refused(path)) < 600


@pytest.mark.parametrize(
    ("text", "where", "value"),
    [
        ("rounds: three", "rounds", "three"),
        ("seed: [1.5]", "seed", "[1.5]"),
        ("optimization: {sft: {learning_rate: fast}}", "optimization.sft.learning_rate", "fast"),
        ("acquisition: {seed_prompts: {fresh: maybe}}", "acquisition.seed_prompts.fresh", "maybe"),
        ("task: {chain_sums: 5}", "chain_sums", "5"),
        ("task: {chain_sums: [a]}", "chain_sums", "a"),
    ],
)
def test_a_value_of_the_wrong_type_is_named_with_its_place(
    make_recipe: Callable, text: str, where: str, value: str
) -> None:
    message = refused(make_recipe(text + "\n"))
    assert where in message and value in message, "the message must say which value does not fit, and where"


def test_a_value_of_the_wrong_type_on_the_command_line_says_what_would_fit() -> None:
    message = refused("quickstart", "rounds=three")
    assert "rounds" in message and "three" in message and "Integer" in message
    assert "Float" in refused("quickstart", "optimization.sft.learning_rate=fast")


@pytest.mark.parametrize(
    "override",
    ["+x=1", "++rounds=1", "~gate", "rounds", "=3", "", "a b=3", "selection@x=dedup", "rounds:3", "hydra.run.dir=x"],
)
def test_overrides_that_only_hydra_would_understand_are_refused(override: str) -> None:
    assert override[:9] in refused("quickstart", override)


@pytest.mark.parametrize(
    "override", ["rounds=[1", "rounds={a: 1", "seed='", "rounds=1 2", "optimization.sft.restart=a\nb"]
)
def test_overrides_that_cannot_be_read_are_refused(override: str) -> None:
    assert refused("quickstart", override)


def test_what_stands_in_a_list_is_not_overridden_by_name() -> None:
    assert "model.tiny.roles is a list; write model.tiny.roles=[a,b]" in refused("quickstart", "model.tiny.roles.x=a")


def test_no_override_reads_the_environment(secret: str) -> None:
    for key in ("seed", "optimization.sft.lr_scheduler_type"):
        assert secret not in refused("quickstart", f"{key}=${{oc.env:SELFIMPROVE_TEST_SECRET}}")


# ---- anything at all ---------------------------------------------------------------------------------------------
names = st.sampled_from(
    [
        *registry.SLOTS,
        *(f.name for f in fields(Recipe)),
        "defaults",
        "threshold",
        "dedup",
        "sft",
        "greedy",
        "level",
        "x",
    ]
)
leaves = st.none() | st.booleans() | st.integers(-3, 9) | st.floats() | names | st.text(max_size=4)
trees = st.recursive(leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(names, t, max_size=3), max_leaves=8)
bodies = st.dictionaries(names, trees, max_size=4) | st.fixed_dictionaries(
    {"defaults": st.lists(st.dictionaries(names, trees, min_size=1, max_size=1) | trees, max_size=3)}
)


def fails_clearly(path: Path, *overrides: str) -> None:
    try:
        load(path, overrides)
    except UserError as error:
        assert str(error).isprintable()


@pytest.mark.long
@given(bodies)
@settings(max_examples=15)
def test_any_tree_of_values_is_a_recipe_or_one_clear_line(make_recipe: Callable, body: Any) -> None:
    fails_clearly(make_recipe(yaml.safe_dump(body)))


@given(st.text(alphabet=st.sampled_from("rounds:[]{}&*!|>-?'\"#,%@` \n\tab1.e~<=${}_"), max_size=30))
def test_any_text_is_a_recipe_or_one_clear_line(make_recipe: Callable, text: str) -> None:
    fails_clearly(make_recipe(text))


@pytest.mark.long
@given(
    st.sampled_from(["", "rounds=", "selection=", "selection.threshold.min_score=", "task.chain_sums."]),
    st.text(alphabet=st.sampled_from("rounds.=[]{}'\"\\$,:+~@ ab1e-\n"), max_size=12),
)
@settings(max_examples=12)
def test_any_override_is_carried_out_or_refused_in_one_line(start: str, text: str) -> None:
    fails_clearly(compose.find("quickstart"), start + text)


def test_a_pipe_is_no_recipe_and_nothing_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.yaml")
    with pytest.raises(
        MissingError, match=r"mine\.yaml is a pipe or a device, not a file; write the recipe into a file"
    ):
        compose.load(tmp_path / "mine.yaml")
