"""Looks at an untrusted tokenizer.json in a separate process with little memory and time.

A tokenizer is a program of sorts: it normalizes by regular expressions, which may backtrack for ever, and it replaces
texts by longer ones, as often as it says. Here it tokenizes short texts and reads tokens back, and what it makes is
measured.
Its behaviour with other texts stays untested.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # the worker imports nothing of this package but its limits, by their file
    sys.path.insert(0, str(Path(__file__).parent))
    import limited  # pyright: ignore[reportMissingImports]
else:
    from selfimprove.safety import limited

SECONDS = 6
"""CPU time of one look; the largest published tokenizer takes half of it."""
GROWTH, SLACK = 8, 64
"""Most tokens for a character of a text, most characters for a token, and as many more for any text or token."""
STEPS = 200
"""Most parts of which a normalizer, pre-tokenizer, decoder or post-processor may consist."""
PATTERN = 10_000
"""Most characters of a regular expression; published ones have some hundred, and compiled they take 3 kB for each."""
LETTERS = ("a", "A", "7", " ", "\n", ".", "_", "\u00e9", "\u4f60", "\U0001f600", "ab", "a1", "a ", "it's ")
"""What is repeated in the texts that it tokenizes; a pattern that backtracks does so on one of them."""


@dataclass(frozen=True)
class Tokens:
    """The token ids of a tokenizer."""

    count: int
    beyond: int
    """How many are not among the rows of the model."""
    highest: int


def look(path: Path, rows: int) -> Tokens | str:
    """The ids of a tokenizer for a model with so many rows, or what is wrong with it, in words."""
    try:
        said = limited.ask(Path(__file__), json.dumps([str(path), rows]).encode(), SECONDS)
    except limited.Ended as ended:
        return str(ended)
    return said if isinstance(said, str) else Tokens(*said)


# ---- the worker --------------------------------------------------------------------------------------------------
def _look(path: str, rows: int) -> list[int] | str:
    """The same, in the worker."""
    try:
        raw = Path(path).read_bytes()
        found = _ids(json.loads(raw), rows)
        if isinstance(found, str):
            return found
        return _tried(raw) or found
    except MemoryError:
        return f"takes more than {limited.MEMORY >> 30} GiB"
    except RecursionError:
        return "is nested too deeply"
    except BaseException as error:  # a panic of the library, written in Rust, is no Exception
        return f"cannot be used: {' '.join(str(error).split())[:120]}"


def _ids(values: Any, rows: int) -> list[int] | str:
    """How many ids there are, how many of them are not among the rows, and the highest; or what is wrong."""
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        return "is not a mapping with a model"
    for part in ("normalizer", "pre_tokenizer", "decoder", "post_processor"):
        if _size(values.get(part)) > STEPS:
            return f"has a {part} of more than {STEPS} parts"
        if _longest(values.get(part)) > PATTERN:
            return f"has a {part} with a pattern of more than {PATTERN:,} characters"
    vocabulary, added = values["model"].get("vocab"), values.get("added_tokens")
    ids: list[Any] = [*range(len(vocabulary))] if isinstance(vocabulary, list) else []
    ids += vocabulary.values() if isinstance(vocabulary, dict) else []
    ids += [token.get("id") for token in added if isinstance(token, dict)] if isinstance(added, list) else []
    whole = [one for one in ids if type(one) is int]
    return [len(whole), sum(one >= rows for one in whole), max(whole, default=0)]


def _size(part: Any) -> int:
    """How many parts with a type a part consists of; a post-processor also has one for each special token."""
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    own = isinstance(part, dict) and "type" in part
    return own + sum(map(_size, inner))


def _longest(part: Any) -> int:
    """The length of the longest regular expression in a part."""
    own = part.get("Regex") if isinstance(part, dict) else None
    inner = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    return max(len(own) if isinstance(own, str) else 0, max(map(_longest, inner), default=0))


def _tried(raw: bytes) -> str:
    """What is wrong with what the tokenizer makes of texts and tokens, in words; "" if nothing."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(raw)
    tokenizer.no_padding()  # transformers sets both itself
    tokenizer.no_truncation()
    for letter in LETTERS:
        for text in (letter * 40 + "!", letter * 3000):
            made = tokenizer.encode(text, add_special_tokens=len(text) < 100)
            if len(made.ids) > GROWTH * len(text.encode()) + SLACK:
                return f"makes {len(made.ids)} tokens of {len(text)} characters"
            if (size := len(tokenizer.decode(made.ids, skip_special_tokens=False))) > GROWTH * len(text) + SLACK:
                return f"makes {size} characters of the tokens of {len(text)}"
    most = tokenizer.get_vocab_size()
    some = sorted({*range(min(most, 300)), *range(0, most, max(1, most // 300))})
    longest = max((len(tokenizer.id_to_token(one) or "") for one in some), default=0)
    size = len(tokenizer.decode(some, skip_special_tokens=False))
    if size > len(some) * (GROWTH * longest + SLACK):
        return f"makes {size} characters of {len(some)} tokens"
    return ""


if __name__ == "__main__":
    limited.limit()
    print(json.dumps(_look(*json.loads(sys.stdin.buffer.read()))))
