"""A small part of the simulations of the gate, and that they would notice if the gate were wrong."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from selfimprove import registry
from selfimprove.measures.statistics import mcnemar

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "docs" / "results" / "simulate_gate.json"
PAGE = ROOT / "docs" / "evaluation.md"
SHAPE: dict[str, Any] = {"runs": 500, "rounds": 10, "n": 400, "discordance": 0.15}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("simulate_gate", ROOT / "scripts" / "simulate_gate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate_gate"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def source() -> np.random.Generator:
    return np.random.default_rng(7)


# ---- the two key facts -----------------------------------------------------------------------------------------------
@pytest.mark.runs
def test_the_ratchet_keeps_its_promise_and_one_test_for_both_does_not(script: ModuleType) -> None:
    right, wrong = (
        script.share(script.ratchet(np.random.default_rng(3), script.NULL, lagged=lagged, **SHAPE).false)
        for lagged in (True, False)
    )
    assert right.value <= 0.05 + right.error  # three standard errors
    assert wrong.value > right.value and wrong.value > 0.05


def test_the_simulation_sees_a_gate_that_spends_too_much(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    product = script.certify
    monkeypatch.setattr(script, "certify", lambda pair, alpha, **levels: product(pair, 0.05, **levels))
    found = script.share(script.ratchet(np.random.default_rng(3), script.NULL, **SHAPE).false)
    assert found.low > 0.05


def test_the_simulation_sees_a_gate_that_never_rolls_back(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    harm = ((1.0, -0.03),)
    shape = SHAPE | {"runs": 100}
    monkeypatch.setattr(script, "accept", lambda over, champion, alpha, **levels: True)
    kept = script.ratchet(np.random.default_rng(3), harm, **shape)
    monkeypatch.setattr(script, "certify", lambda pair, alpha, **levels: "certify")
    lost = script.ratchet(np.random.default_rng(3), harm, **shape)
    assert kept.champion.mean() == pytest.approx(0.5) and lost.champion.mean() == pytest.approx(0.2, abs=0.02)
    assert lost.false.all() and not kept.false.any()


def test_gains_add_up_and_are_not_called_false(script: ModuleType, source: np.random.Generator) -> None:
    steady = script.ratchet(source, ((1.0, 0.03),), **SHAPE | {"runs": 100})
    strict = script.single(source, ((1.0, 0.03),), script.rules(10)["McNemar .05 / rounds"], **SHAPE | {"runs": 100})
    assert steady.champion.mean() > 0.65 > strict.champion.mean() > 0.5
    assert not steady.false.any() and not strict.false.any()
    assert steady.luck.size >= 100 and steady.luck.mean() > 0
    assert (steady.scored >= strict.scored).all()


# ---- the model -------------------------------------------------------------------------------------------------------
def test_a_step_has_the_effect_and_the_discordance_that_it_is_given(script: ModuleType) -> None:
    mends, breaks, made = script.step(np.array([0.5, 0.8]), np.array([0.05, -0.02]), 0.2)
    assert mends == pytest.approx([0.25, 0.45]) and breaks == pytest.approx([0.15, 0.1375])
    assert made == pytest.approx([0.55, 0.78])
    _, _, full = script.step(np.array([0.99]), np.array([0.05]), 0.2)
    assert 0.9 < full[0] < 1.0  # a tenth of the wrong answers cannot be more than all of them


def test_the_three_policies_answer_the_same_problems(script: ModuleType, source: np.random.Generator) -> None:
    champion, effect = np.full(50, 0.5), np.full(50, 0.04)
    mends, breaks, incumbent = script.step(champion, effect, 0.2)
    up, down, candidate = script.step(incumbent, -effect, 0.1)
    counts = script.answers(source, 4000, champion, (mends, breaks), (up, down))
    assert counts.shape == (50, 2, 2, 2) and (counts.sum(axis=(1, 2, 3)) == 4000).all()
    shares = counts.sum(axis=0) / counts.sum()
    assert shares[1].sum() == pytest.approx(0.5, abs=0.004)
    assert shares[:, 1].sum() == pytest.approx(0.54, abs=0.004)
    assert shares[:, :, 1].sum() == pytest.approx(candidate[0], abs=0.004) and candidate[0] == pytest.approx(0.5)
    assert shares[0, 1].sum() + shares[1, 0].sum() == pytest.approx(0.2, abs=0.004)
    assert shares[:, 0, 1].sum() + shares[:, 1, 0].sum() == pytest.approx(0.1, abs=0.004)
    none = np.zeros(50)
    alone = script.answers(source, 400, champion, (none, none), (up, down))
    assert not alone[:, 0, 1].any() and not alone[:, 1, 0].any()  # an incumbent that is the champion answers alike


def test_pairs_are_new_only_and_old_only(script: ModuleType) -> None:
    assert script._pairs(np.array([[[10, 3], [1, 6]]])) == [(3, 1)]


def test_p_values_of_many_pairs_are_the_program_s_own(script: ModuleType) -> None:
    better, worse = np.array([[15, 0], [3, 15]]), np.array([[5, 0], [9, 5]])
    expected = [[mcnemar(15, 5), 1.0], [mcnemar(3, 9), mcnemar(15, 5)]]
    assert script.p_values(better, worse).tolist() == expected


def test_the_least_number_of_wins(script: ModuleType) -> None:
    assert [script.least(script._passes(0.05), changed) for changed in (0, 4, 5, 20)] == [1, 5, 5, 15]
    assert mcnemar(15, 5) <= 0.05 < mcnemar(14, 6) and mcnemar(5, 0) <= 0.05 < mcnemar(4, 0)


def test_errors_are_three_standard_errors(script: ModuleType) -> None:
    found = script.share(np.array([True] * 10 + [False] * 90))
    assert (found.value, found.error) == (0.1, pytest.approx(3 * math.sqrt(0.09 / 100)))
    assert (found.low, found.high) == (pytest.approx(0.01), pytest.approx(0.19)) and str(found) == "0.100 ± 0.090"
    assert script.share(np.zeros(100, dtype=bool)).error > 0.03
    gains = script.average(np.array([0.01, 0.03]))
    assert gains.value == pytest.approx(0.02) and gains.error == pytest.approx(0.03) and str(gains) == "+2.0 ± 3.0"
    assert script.average(np.array([])).low != script.average(np.array([])).low  # nothing was measured: no claim holds


# ---- the command -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("holds", "code"), [(True, 0), (False, 1)])
def test_the_command_prints_writes_and_tells_by_its_exit_code(
    script: ModuleType,
    holds: bool,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def section(source: np.random.Generator, quick: bool) -> Any:
        made = script.Section("A table", "Words.", [{"n": 4, "share": script.Estimate(0.25, 0.1)}])
        made.claim("it is so", holds)
        return made

    monkeypatch.setattr(script, "SECTIONS", (section,))
    monkeypatch.setattr(sys, "argv", ["simulate_gate.py", "--quick", "--json", str(tmp_path / "deep" / "out.json")])
    with pytest.raises(SystemExit) as stopped:
        script.main()
    assert stopped.value.code == code
    word = "PASS" if holds else "FAIL"
    assert f"| 4 | 0.250 ± 0.100 |\n\n- {word}: it is so\n" in capsys.readouterr().out
    written = (tmp_path / "deep" / "out.json").read_text(encoding="utf-8")
    result = json.loads(written)
    assert result["command"] == "python scripts/simulate_gate.py --quick" and str(tmp_path) not in written
    assert result["sections"][0]["rows"][0]["share"] == {"value": 0.25, "error": 0.1, "text": "0.250 ± 0.100"}
    page = script.filled("head\n<!-- simulations -->\nstale\n<!-- /simulations -->\ntail\n", result)
    assert page.startswith("head\n") and page.endswith("tail\n") and "stale" not in page and "### A table" in page


# ---- what is kept ------------------------------------------------------------------------------------------------------
def test_the_kept_simulations_hold_and_stand_on_the_page(script: ModuleType) -> None:
    kept, page = json.loads(KEPT.read_text(encoding="utf-8")), PAGE.read_text(encoding="utf-8")
    assert kept["command"] == "python scripts/simulate_gate.py"
    assert len(kept["sections"]) == len(script.SECTIONS)
    claims = [claim for section in kept["sections"] for claim in section["claims"]]
    assert len(claims) > 50 and all(claim["holds"] for claim in claims)
    assert script.filled(page, kept) == page
    assert str(ROOT) not in KEPT.read_text(encoding="utf-8")


def test_the_page_names_the_alarms_that_there_are() -> None:
    table = PAGE.read_text(encoding="utf-8").split("## The alarms")[1].split("\n## ")[0]
    told = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    registry.discover()
    assert sorted(told) == sorted(registry.names("alarm"))
