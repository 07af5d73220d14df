"""Symlinks in the place of the folders of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfimprove.errors import DataError
from selfimprove.store.links import check_round, refuse_link


def test_a_round_with_folders_only_is_fine(tmp_path: Path) -> None:
    (tmp_path / "round_000" / "model").mkdir(parents=True)
    (tmp_path / "round_000" / "model" / "inside").symlink_to("/etc")  # the seal of the step covers it
    check_round(tmp_path / "round_000")


@pytest.mark.parametrize("what", ["round", "step", "file"])
def test_what_leads_out_of_a_run_is_refused(what: str, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    place = tmp_path / "round_000"
    if what == "round":
        place.symlink_to(tmp_path / "outside")
    elif what == "step":
        place.mkdir()
        (place / "model").symlink_to(tmp_path / "outside")
    else:
        place.write_text("x")
    with pytest.raises(DataError, match="is a file, not a folder" if what == "file" else "is a symlink, not a folder"):
        check_round(place)


def test_a_link_to_nothing_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("nothing")
    with pytest.raises(DataError, match="x is a symlink"):
        refuse_link(tmp_path / "x")
    refuse_link(tmp_path / "missing")
