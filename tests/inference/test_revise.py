"""An answer that is judged, and written anew where it is called wrong: what data stages run is run while answering."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selfimprove.interfaces import Refinement

PAGE = (Path(__file__).resolve().parents[2] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def second_look() -> Refinement:
    """The refinement that CONTRIBUTING.md shows."""
    [code] = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "SecondLook" in block]
    scope: dict[str, Any] = {}
    exec(code.replace('@register("second_look")\n', ""), scope)  # noqa: S102  # the page's own code
    return scope["SecondLook"]()


def test_only_what_is_called_wrong_is_written_anew(
    make_engine: Callable, chained: Callable, make_prompt: Callable, worked: Callable, classroom: Callable
) -> None:
    asked = [make_prompt("3+5+8"), make_prompt("1+2")]
    engine: Any = make_engine(classroom(asked, right=0.9))
    wrong = worked([1, 2], slip=0)
    engine.answers["S:1+2="] = {wrong: 1.0}
    made = chained(engine, second_look()).answer(asked)
    assert [one.text for one in made] == [worked([3, 5, 8]), worked([1, 2])] and {one.reward for one in made} == {1.0}
    said = [prompt.prompt[-1]["content"] for prompt in engine.seen]
    assert said == ["S:3+5+8=", "S:1+2=", f"J:3+5+8={worked([3, 5, 8])}|", f"J:1+2={wrong}|", f"R:1+2={wrong}|"]
    assert [one.info["spent"]["completions"] for one in made] == [2, 3]
