"""What works from where one stands: the sandbox, the hub, and in sentences what to do next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from selfimprove.errors import EngineError

ADVICE = "advice"
"""What a row is that has a sentence and what to type."""
Row = tuple[str, str, str]
"""What, what was found, and the command that helps or ""."""


def sandbox() -> Row:
    """The tier of the sandbox that passes its self-test here."""
    from selfimprove.safety.sandbox.open import open_sandbox

    try:
        with open_sandbox(workers=1) as one:
            return ("sandbox", f"tier {one.tier}", "")
    except EngineError as error:
        return ("sandbox", "", str(error))


def hub() -> Row:
    """Whether a token for the hub is set; its value is not read. Whether the hub is asked at all."""
    token = "a token is set" if os.environ.get("HF_TOKEN") or _stored_token().exists() else "no token"
    offline = [
        name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name, "0") not in ("", "0")
    ]
    said = f"{token}, offline by {offline[0]}" if offline else token
    return ("model hub", said, "" if token != "no token" else "public models need none; for others set HF_TOKEN")


def _stored_token() -> Path:
    home = Path(
        os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface"
    )
    return Path(os.environ.get("HF_TOKEN_PATH") or home / "token")


def sentences(rows: Sequence[Row]) -> list[Row]:
    """What the findings mean together: a sentence for each, and what to type.

    Args:
        rows: the findings of `doctor`, the sandbox among them.
    """
    found = {what: (said, fix) for what, said, fix in rows}
    missing = [what for what, (said, fix) in found.items() if not said and fix.startswith("pip install -U")]
    if missing:
        return [(ADVICE, f"nothing runs yet: {', '.join(missing)} is missing", found[missing[0]][1])]
    made: list[Row] = [(ADVICE, "recipes of the tiny model run here, without a download", "selfimprove run quickstart")]
    gpu = "GiB" in found["devices"][0]
    if gpu:
        made.append((ADVICE, "recipes for one GPU run here", "selfimprove check gsm8k_rest_em"))
        if not found["vllm (optional)"][0]:
            made.append(
                (ADVICE, "samples are drawn by transformers; the engine vllm is missing", found["vllm (optional)"][1])
            )
    else:
        made.append(
            (
                "advice",
                "without a GPU only small models can be trained; what yours costs",
                "selfimprove doctor --model FOLDER",
            )
        )
        made.append(
            (ADVICE, "an endpoint can draw samples and judge, but not be trained", "selfimprove show engine openai")
        )
    if not found["sandbox"][0]:
        made.append((ADVICE, "tasks that run programs, such as code, are refused here", "selfimprove list task"))
    return made
