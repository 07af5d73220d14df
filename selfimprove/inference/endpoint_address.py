"""Which host an endpoint's requests go to, with which key, and what of a request belongs to the engine."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from urllib.parse import urlsplit

from selfimprove.errors import EngineError, RecipeError
from selfimprove.interfaces import REQUIRED

HERE = ("localhost", "127.0.0.1", "::1")
ADDRESS = re.compile(r"https?://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:/[!-~]*)?")
"""An address that urllib and httpx read alike, so that the host that is allowed is the host that is asked."""
ALLOWED = "SELFIMPROVE_ENDPOINTS"
"""The environment variable with the hosts that may get prompts and keys; a recipe alone cannot allow a host."""


OURS = {"messages", "prompt", "n", "stream", "echo", "best_of"}
"""Fields of a request that a recipe cannot set: one answer to each request is read, and as a whole."""


def check(url: str, variable: str, extra: Collection[str]) -> None:
    """Refuse options that would send the key or prompts astray, or answers that nobody reads.

    Args:
        variable: the name of the environment variable with the key, or "".
        extra: names of further fields of each request.

    Raises:
        RecipeError: the message does not show the value, which may be a key.
    """
    if not re.fullmatch(r"([A-Z_][A-Z0-9_]*)?", variable):
        raise RecipeError(
            "engine.openai.api_key_env must be the name of an environment variable in capitals, such as "
            "OPENAI_API_KEY, and never a key: recipes are kept in the run folder"
        )
    if url != REQUIRED and not is_address(url):
        raise RecipeError("engine.openai.base_url must be an http or https address, without a name or password")
    if found := OURS & set(extra):
        raise RecipeError(f"engine.openai.extra cannot set {min(found)!r}, which belongs to the engine; leave it out")


def is_address(url: str) -> bool:
    """Whether a text is an http or https address without name, password, query or fragment."""
    if not ADDRESS.fullmatch(url) or set("?#@\\") & set(url):
        return False
    try:
        return (urlsplit(url).port or 80) < 1 << 16 and all(len(part) < 64 for part in url.split("/")[2].split("."))
    except ValueError:
        return False


def is_here(url: str) -> bool:
    """Whether an address is on this machine."""
    return urlsplit(url).hostname in HERE


def key_for(url: str, variable: str) -> str:
    """The key for an endpoint, from the environment; "" if no variable is named.

    Raises:
        EngineError: the host is not allowed, or the variable is not set.
    """
    host = urlsplit(url).hostname or ""
    if host not in (*HERE, *os.environ.get(ALLOWED, "").replace(",", " ").split()):
        raise EngineError(
            f"engine.openai would send prompts and a key to {host!r}, because the recipe says so. If you trust this "
            f"host, allow it: {ALLOWED}={host}"
        )
    if not variable:
        return ""
    key = os.environ.get(variable, "").strip()
    if not key:
        raise EngineError(f"engine.openai: the environment variable {variable} is not set; put the key there")
    if not re.fullmatch(r"[!-~]+", key):
        raise EngineError(
            f"engine.openai: the environment variable {variable} holds a space, a line break or another character that "
            "no key has; put the key alone there"
        )
    return key
