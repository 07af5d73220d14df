"""What `doctor` advises, by machines that are described."""

from __future__ import annotations

from pathlib import Path

import pytest

from selfimprove.cli import advice

HERE = {
    "torch": ("2.13.0", ""),
    "vllm (optional)": ("", "pip install 'selfimprove[vllm]'"),
    "devices": ("cpu only", ""),
    "sandbox": ("tier A", ""),
}


@pytest.mark.parametrize(
    ("changes", "typed"),
    [
        ({}, ["run quickstart", "doctor --model FOLDER", "show engine openai"]),
        ({"devices": ("H200 139 GiB", "")}, ["run quickstart", "check gsm8k_rest_em", "selfimprove[vllm]"]),
        (
            {"devices": ("H200 139 GiB", ""), "vllm (optional)": ("0.31.0", ""), "sandbox": ("", "no Landlock")},
            ["run quickstart", "check gsm8k_rest_em", "list task"],
        ),
        ({"torch": ("", "pip install -U selfimprove")}, ["pip install -U selfimprove"]),
    ],
)
def test_each_machine_gets_what_works_there(changes: dict[str, tuple[str, str]], typed: list[str]) -> None:
    rows = [(what, said, fix) for what, (said, fix) in {**HERE, **changes}.items()]
    made = advice.sentences(rows)
    assert [what for what, _, _ in made] == [advice.ADVICE] * len(typed)
    assert all(word in fix for word, (_, _, fix) in zip(typed, made, strict=True))


def test_a_token_is_noticed_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, secret: str) -> None:
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert advice.hub()[1] == "no token"
    (tmp_path / "token").write_text(secret)
    assert advice.hub() == ("model hub", "a token is set", "")
    monkeypatch.setenv("HF_TOKEN", secret)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert advice.hub()[1] == "a token is set, offline by HF_HUB_OFFLINE" and secret not in str(advice.hub())
