"""metrics.jsonl grows by a line, and is made again where it is not as it was left."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from selfimprove.loop.tracking import MetricsFile
from selfimprove.store import durable


def line(number: int) -> dict[str, Any]:
    return {"round": number, "accuracy": number / 7}


def expected(rounds: int) -> str:
    return "".join(json.dumps(line(number)) + "\n" for number in range(rounds))


def test_a_line_is_added_and_only_that_line_is_made(tmp_path: Path) -> None:
    file, made = MetricsFile(tmp_path / "metrics.jsonl"), list[int]()
    for number in range(4):
        file.write(number, lambda past: made.append(past) or line(past))
        assert file.path.read_text() == expected(number + 1)
    assert made == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text(path.read_text()[:-9]),
        lambda path: path.write_text(path.read_text() + "{}\n"),
        lambda path: os.truncate(path, 0),
        lambda path: (path.rename(path.with_name("away")), path.symlink_to(path.with_name("away"))),
    ],
)
def test_a_file_that_is_not_as_it_was_left_is_made_again(tmp_path: Path, harm: Any) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write(0, line)
    file.write(1, line)
    harm(file.path)
    file.write(2, line)
    assert file.path.read_text() == expected(3) and not file.path.is_symlink()


def test_a_file_that_another_process_wrote_is_made_again_and_may_get_shorter(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(expected(9))
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.write(3, line)
    assert file.path.read_text() == expected(4)
    file.write(3, line)
    assert file.path.read_text() == expected(4)


def test_a_line_that_could_not_be_written_whole_is_not_built_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, append = MetricsFile(tmp_path / "metrics.jsonl"), durable.append
    file.write(0, line)

    def torn(path: Path, data: bytes) -> None:
        append(path, data[:5])
        raise OSError

    monkeypatch.setattr(durable, "append", torn)
    with pytest.raises(OSError):
        file.write(1, line)
    monkeypatch.setattr(durable, "append", append)
    file.write(1, line)
    file.write(2, line)
    assert file.path.read_text() == expected(3)
