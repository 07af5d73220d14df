"""The tables of fixtures in docs/real_models.md name what scripts/fixtures builds, and what was printed of it."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def _script(name: str) -> ModuleType:
    place = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert place and place.loader
    module = importlib.util.module_from_spec(place)
    sys.modules[name] = module
    try:
        place.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def test_the_page_has_a_row_for_each_architecture_and_says_which_tokenizers_are_stand_ins() -> None:
    module = _script("fixtures/architectures")
    page = (ROOT / "docs" / "real_models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    found = {name: (tokenizer, template) for name, tokenizer, template in rows if name in module.ARCHITECTURES}
    assert found.keys() == module.ARCHITECTURES.keys()
    own = ROOT / "scripts" / "fixtures" / "templates"
    for name, made in module.ARCHITECTURES.items():
        tokenizer, template = found[name]
        assert tokenizer.startswith("stand-in") == made.stand_in, name
        assert ("ours" in template) == bool(made.template and (own / made.template).exists()), name


def test_figures_are_read_from_the_logs_of_tests_and_rounds_and_from_nothing_else() -> None:
    log = """collected 3 items
what, model: 1
===================== counted =====================
greedy text as plain generate's, phi3: 50 of 50
trained as drawn, sft, phi3: 8 of 8
wrong thought, right reply: marked by the reply, qwen3-right_reply: 100 of 100
================= slowest durations ===============
1.0s call, phi3: x
phi3 | rest_em | 482 |  | 5.17.0, 4.57.3 | 17
phi3 | iterative_dpo | 0 | whole: ValueError("a | b") |  | 0
"""
    found = _script("fixtures/record").read(log)
    assert found == [
        ("phi3", "greedy text as plain generate's", "50 of 50"),
        ("phi3", "trained as drawn, sft", "8 of 8"),
        ("qwen3-right_reply", "wrong thought, right reply: marked by the reply", "100 of 100"),
        ("phi3", "rest_em", "482 operations, loads in 5.17.0, 4.57.3"),
        ("phi3", "iterative_dpo", 'whole: ValueError("a | b")'),
    ]
