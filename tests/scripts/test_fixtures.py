"""The table of fixtures in docs/real_models.md names what scripts/fixtures builds."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_has_a_row_for_each_architecture_and_says_which_tokenizers_are_stand_ins() -> None:
    place = importlib.util.spec_from_file_location("architectures", ROOT / "scripts" / "fixtures" / "architectures.py")
    assert place and place.loader
    module = importlib.util.module_from_spec(place)
    sys.modules["architectures"] = module
    try:
        place.loader.exec_module(module)
    finally:
        del sys.modules["architectures"]
    page = (ROOT / "docs" / "real_models.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    found = {name: (tokenizer, template) for name, tokenizer, template in rows if name in module.ARCHITECTURES}
    assert found.keys() == module.ARCHITECTURES.keys()
    own = ROOT / "scripts" / "fixtures" / "templates"
    for name, made in module.ARCHITECTURES.items():
        tokenizer, template = found[name]
        assert tokenizer.startswith("stand-in") == made.stand_in, name
        assert ("ours" in template) == bool(made.template and (own / made.template).exists()), name
