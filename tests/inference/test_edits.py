"""Self-edits: which styles there are, and what writing in them needs."""

from __future__ import annotations

import pytest

from selfimprove.errors import RecipeError
from selfimprove.inference.edits import ASKS, SOLUTION, check, needs


def test_only_solutions_need_no_role_of_their_own() -> None:
    assert needs([SOLUTION]).roles == ()
    assert needs([SOLUTION, "notes"]).roles == ("edit",)
    assert needs([]).roles == ()


def test_an_unknown_style_is_refused_with_the_nearest_one() -> None:
    check("acquisition.seal.style", "notes", ASKS)
    with pytest.raises(RecipeError, match="acquisition.seal.style: there is no 'nots'. Did you mean 'notes'"):
        check("acquisition.seal.style", "nots", ASKS)
