"""A process with little memory and time: its answer comes back, and whatever ends it is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfimprove.safety import limited
from selfimprove.safety.limited import Ended, answer, ask

BEGIN = f"import os, sys; sys.path.insert(0, {str(Path(limited.__file__).parent)!r}); import limited; limited.limit()\n"
SCRIPTS = {
    "echo": ("print('[' + sys.stdin.read() + ']')", None),
    "memory": ("x = bytearray(1 << 31); print(1)", "cannot be looked at"),
    "time": ("while True: pass", "takes more than 1 seconds or 0 GiB"),
    "answer": ("print('x' * 200)", "cannot be looked at"),
    "silence": ("sys.exit(3)", "cannot be looked at"),
    "killed": ("os.kill(os.getpid(), 9)", "takes more than 1 seconds or 0 GiB"),
    "secrets": ("assert not [name for name in os.environ if 'KEY' in name]; print(1)", None),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name == "time")) for name in SCRIPTS])
def test_how_a_process_ends(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "secret")
    body, wrong = SCRIPTS[name]
    (tmp_path / "script.py").write_text(BEGIN + body)
    if wrong:
        with pytest.raises(Ended, match=wrong):
            answer(tmp_path / "script.py", b"1", 1, 200 << 20, 100)
    else:
        assert answer(tmp_path / "script.py", b"1", 1, 200 << 20, 100) in (b"[1]\n", b"1\n")


def test_an_answer_is_json(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(BEGIN + "print('{\"a\": [1]}')")
    assert ask(tmp_path / "script.py", b"", 1) == {"a": [1]}
