"""The runner: what a resume shows of the rounds that were finished before."""

from pathlib import Path
from typing import Any

import pytest

from selfimprove.logs import Silent
from selfimprove.loop import loop
from selfimprove.loop.begin import create
from selfimprove.trials import rehearsal


class Shown(Silent):
    """Keeps the rounds and the remarks that a run shows."""

    def __init__(self) -> None:
        self.rounds, self.notes = list[int](), list[str]()

    def round(self, line: dict[str, Any]) -> None:
        self.rounds.append(line["round"])

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.long
def test_a_resume_shows_the_last_rounds_again_and_says_where_the_others_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "SHOWN", 2)
    load, first, again = rehearsal.composer(), Shown(), Shown()
    folder = create(str(rehearsal.write_recipe(tmp_path)), ["rounds=4"], tmp_path / "run", load=load)
    summary = loop.Runner(folder, first, load).run()
    lines = (folder.root / "metrics.jsonl").read_bytes()
    assert loop.Runner(folder, again, load).run() == summary
    assert first.rounds == [0, 1, 2, 3, 4]
    assert again.rounds == [2, 3, 4]
    assert again.notes == ["rounds 0 to 1 were finished before; metrics.jsonl has them"]
    assert (folder.root / "metrics.jsonl").read_bytes() == lines
