"""Whether a model folder is a chat model or a base model, and where its texts end, as its files say; nothing is loaded.

A base model that is used as a chat model does not stop, a chat model without its template answers in another form, and
a model without an end token never ends. All three look like a bad model until somebody reads its completions.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError
from selfimprove.foreign import whole_number
from selfimprove.safety.weight_files import mapping

_TURN = re.compile(
    r"<\|?/?(?:im_start|start_header_id|start_of_turn|turn|user|assistant|User|Assistant)\|?>|\[/?INST\]"
)
"""Tokens by which chat templates begin a turn."""
TOKENIZER = 500_000_000
"""Bytes of the largest tokenizer."""


def check_form(folder: Path, template: str) -> list[str]:
    """What to say about the form in which a model talks; an empty list if nothing is odd.

    Args:
        template: the chat template that is used; "" for plain text.

    Raises:
        DataError: no completion could end; the message says what to set.
    """
    tokens = _tokens(folder)
    if not tokens:  # another kind of tokenizer than tokenizer.json
        return []
    ends = _ends(folder, tokens)
    if not ends:
        raise DataError(
            f"{folder} names no end token, so no completion would end: set eos_token in tokenizer_config.json to one "
            "of its tokens, or eos_token_id in generation_config.json"
        )
    if not template:
        turns = sorted(name for name in tokens if _TURN.fullmatch(name))
        if not turns:
            return []
        return [
            f"the tokenizer has {turns[0]}, so this may be a chat model whose template is missing: if it is one, set "
            "model.pretrained.chat_template to a file with it"
        ]
    if "eos_token" in template or any(end in template for end in ends):
        return []
    return [
        f"the chat template has none of the model's end tokens ({', '.join(sorted(ends)[:3])}), so this may be a base "
        "model, which does not know the template: if its completions are cut off, take the chat model, or set "
        "eos_token_id in generation_config.json to the token that ends a turn"
    ]


def _tokens(folder: Path) -> dict[str, int]:
    """The tokens of tokenizer.json and tokenizer_config.json with their ids; none without a vocabulary."""
    path, found = folder / "tokenizer.json", dict[str, int]()
    if not path.is_file():
        return {}
    values = mapping(path, TOKENIZER)
    model, added = values.get("model"), values.get("added_tokens")
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        found |= {name: number for name, number in vocabulary.items() if isinstance(number, int)}
    elif isinstance(vocabulary, list):  # Unigram: pairs of a token and its log-probability
        found |= {str(pair[0]): place for place, pair in enumerate(vocabulary) if isinstance(pair, list) and pair}
    for token in added if isinstance(added, list) else ():
        if isinstance(token, dict) and isinstance(token.get("id"), int):
            found[str(token.get("content"))] = token["id"]
    more = _read(folder / "tokenizer_config.json").get("added_tokens_decoder")
    for number, token in more.items() if isinstance(more, dict) and found else ():
        if isinstance(token, dict) and (at := whole_number(number)) is not None:
            found[str(token.get("content"))] = at
    return found


def _ends(folder: Path, tokens: dict[str, int]) -> set[str]:
    """The end tokens that any file names.

    Raises:
        DataError: the tokenizer does not have one of them.
    """
    names, by_id = set[str](), {number: name for name, number in tokens.items()}
    for place in ("generation_config.json", "config.json"):
        values = _read(folder / place)
        said = values.get("eos_token_id", _part(values.get("text_config"), "eos_token_id"))
        ids = [one for one in (said if isinstance(said, list) else [said]) if isinstance(one, int)]
        names |= {by_id[one] for one in ids if one in by_id}
    for place in ("tokenizer_config.json", "special_tokens_map.json"):
        end = _read(folder / place).get("eos_token")
        end = _part(end, "content") or end
        if not isinstance(end, str) or not end:
            continue
        if end not in tokens:
            raise DataError(
                f"{folder / place} names the end token {end[:40]!r}, which the tokenizer does not have: set eos_token "
                "to one of its tokens"
            )
        names.add(end)
    return names


def _part(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _read(path: Path) -> dict[str, Any]:
    return mapping(path) if path.is_file() else {}
