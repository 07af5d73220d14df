"""Pushes an exported folder to the Hugging Face Hub. Only here does the program upload anything."""

from __future__ import annotations

import os
from pathlib import Path

from selfimprove.errors import EngineError, RecipeError
from selfimprove.safety.redaction import shown
from selfimprove.sharing.exported import HUB

TOKEN = "HF_TOKEN"
"""The environment variable with the token."""


def check(name: str) -> str:
    """The token for a push, before anything is made.

    Raises:
        RecipeError: the name is no id of the Hub.
        EngineError: there is no token, or the environment says that it is offline.
    """
    if not HUB.fullmatch(name):
        raise RecipeError(f"hub:{name} is no id of the Hub; write hub:USER/NAME")
    if any(os.environ.get(one, "").upper() in ("1", "ON", "YES", "TRUE") for one in ("HF_HUB_OFFLINE", "HF_OFFLINE")):
        raise EngineError("HF_HUB_OFFLINE is set, so nothing can be pushed; unset it, or write a folder: --to DIR")
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise EngineError(f"the environment variable {TOKEN} is not set; put a token with the right to write there")
    return token


def push(folder: Path, name: str, token: str, private: bool) -> str:
    """Upload a folder as a model; returns its address.

    Args:
        private: if the Hub does not have it yet, make it visible to its owner only.

    Raises:
        EngineError: the Hub cannot be reached, or refuses.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi(token=token)
    try:
        api.create_repo(name, repo_type="model", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=name, folder_path=str(folder), repo_type="model", commit_message="Upload by selfimprove export"
        )
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError, OSError, ValueError) as error:
        said = " ".join(shown(str(error)).split())[:300] or type(error).__name__
        raise EngineError(
            f"the Hub did not take {name}: {said}. Nothing is lost; try again, or write a folder: --to DIR"
        ) from error
    return f"{api.endpoint}/{name}"
