"""Each row of the survey's Table 6 has a recipe, or says why not."""

import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROWS = yaml.safe_load((ROOT / "scripts" / "survey_table6.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def methods_table():
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import methods_table

        yield methods_table
    finally:
        sys.path.remove(str(ROOT / "scripts"))


@pytest.mark.parametrize("line", ROWS, ids=[line["method"] for line in ROWS])
def test_a_row_names_its_recipe_or_what_is_missing_and_never_both(line, methods_table):
    assert bool(methods_table.recipes_of(line)) != bool(line.get("missing"))


def test_no_method_stands_twice():
    assert len({line["method"] for line in ROWS}) == len(ROWS) >= 48


def test_the_column_here_is_what_the_recipes_train_with(methods_table):
    """Also for several recipes of a paper, and for a chain; the page itself is compared with the script's output."""
    rows = {
        line["method"]: methods_table.used(line) for line in ROWS if line["method"] in ("SPIN", "PAG", "SSR", "EvoCoT")
    }
    assert rows == {"SPIN": "`dpo`", "PAG": "`sft` (pag), `pag` (pag_rl)", "SSR": "-", "EvoCoT": "`grpo`"}
    page = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    assert (
        "| EvoCoT | [2508.07809](https://arxiv.org/abs/2508.07809) | SE | V | GRPO | `grpo` | [`evocot`](evocot.yaml) |"
        in page
    )
    assert "| SPIN, by RMSprop | `dpo` |" in page


def test_every_refinement_is_of_a_family_of_the_survey_and_every_family_has_a_method() -> None:
    lines = yaml.safe_load((ROOT / "scripts" / "survey_section5.yaml").read_text(encoding="utf-8"))
    assert all(line["methods"] for line in lines)
    named = {name if " " in name else f"refinement {name}" for line in lines for name in line["methods"]}
    there = {f"{path.parent.name} {path.stem}" for path in (ROOT / "selfimprove" / "methods").glob("*/[a-z]*.py")}
    own = {name for name in there if name.startswith("refinement ")}
    assert named <= there and own <= named, (named - there) | (own - named)
    sections = [f"5.{part}.{i}" for part, most in ((2, 4), (3, 3), (4, 4)) for i in range(1, most + 1)]
    assert {str(line["section"]) for line in lines} == {*sections, "5.5"}


def test_every_entry_of_acquisition_and_selection_has_a_method_that_exists_or_a_reason(methods_table) -> None:
    lines = yaml.safe_load((ROOT / "scripts" / "survey_sections2_3.yaml").read_text(encoding="utf-8"))
    wanted = [*(f"A{number:02}" for number in range(1, 22)), *(f"S{number:02}" for number in range(1, 30))]
    assert [line["entry"] for line in lines] == wanted
    slots = {"A": "acquisition", "S": "selection"}
    bare = [line for line in lines if not methods_table.here(line, slots[line["entry"][0]])]
    assert all(line.get("instead") for line in bare)
    for line in lines:  # a name that no file has would be left out of the table without a word
        found = methods_table.here(line, slots[line["entry"][0]])
        assert found == line["methods"] or not found, line["entry"]
        assert not (found and line.get("instead")), line["entry"]
    known = {path.parent.name for path in (ROOT / "selfimprove" / "methods").glob("*/__init__.py")} | {"sampler"}
    places = {methods_table.placed(name, slots[line["entry"][0]]) for line in lines for name in line["methods"]}
    assert {place.partition("/")[0] for place in places} <= known
