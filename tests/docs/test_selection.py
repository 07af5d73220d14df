"""The commands of docs/selection.md on a pool of one's own, with the files that the page shows."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from selfimprove.cli import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "selection.md").read_text(encoding="utf-8")
OWN = PAGE[PAGE.index("## A pool of your own") :]


def test_a_pool_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(\w+)\n(.*?)```", OWN, re.DOTALL)
    recipe, pool, exam = (text for kind, text in blocks if kind in ("yaml", "json"))
    for name, text in (("clean.yaml", recipe), ("pool.jsonl", pool), ("exam.jsonl", exam)):
        Path(name).write_text(text)
    check, first, second = re.findall(r"^\$ selfimprove (.*)$", OWN, re.MULTILINE)
    assert main.app(shlex.split(check), standalone_mode=False) in (0, None)
    assert "the pool is read 5 times and once to write; no model is loaded" in capsys.readouterr().out
    assert main.app(shlex.split(first), standalone_mode=False) in (0, None)
    lines = pool.splitlines()
    assert Path("chosen.jsonl").read_text().splitlines() == [lines[0], lines[3]]
    report = json.loads(Path("report.json").read_text())
    assert [(one["came"], one["stayed"]) for one in report["steps"]] == [(5, 5), (5, 4), (4, 3), (3, 2)]
    assert "row 3 went for row 1" in " ".join(capsys.readouterr().out.split())
    assert main.app(shlex.split(second), standalone_mode=False) in (0, None)
    assert len(Path("chosen.jsonl").read_text().splitlines()) == 4
    with pytest.raises(Exception, match="exists; choose another name, or add --force"):
        main.app(shlex.split(first), standalone_mode=False)
