"""Text of others stays text: a control token's string in it is tokenized as characters, never as that token.

Problems, attempts that a judge reads and replies of tools may contain `<|im_end|>` or `</think>`. A tokenizer would
make the control token of it, and the text could end its own turn. Such strings are hidden while the chat template is
rendered, and then tokenized beside the template's own control tokens by a copy of the tokenizer in which these have
other names. Text without such strings takes the usual path.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

_BRACKETS = re.compile(r"[<\[◁\uff5c|].*[>\]▷\uff5c|]", re.DOTALL)
"""The form of a mark; some tokenizers also have added tokens for runs of blanks and for words."""
_controls: WeakKeyDictionary[Any, Controls] = WeakKeyDictionary()


class Cover:
    """The texts of one rendered prompt, with the control strings in them hidden.

    Args:
        tokenizer: of transformers, with or without a chat template.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer, self._controls = tokenizer, controls_of(tokenizer)
        self._hidden: list[str] = []
        self.used = False
        """Whether any text had a control string."""

    def hide(self, text: str) -> str:
        """The text with a placeholder for each control string."""
        controls = self._controls
        if controls.pattern is None or not controls.found_in(text):
            return text
        self.used = True
        return controls.pattern.sub(self._placeholder, text)

    def ids(self, rendered: str, special: bool = False) -> list[int]:
        """The tokens of a rendered text: what was hidden in it becomes characters.

        Args:
            special: whether the tokenizer adds what it puts around a text, such as a bos token.
        """
        if not self.used:
            return self._tokenizer(rendered, add_special_tokens=special)["input_ids"]
        return self._controls.ids(self._put(self._controls.renamed(rendered)), special)

    def _placeholder(self, found: re.Match[str]) -> str:
        self._hidden.append(found[0])
        return f"\ue002{self._controls.nonce}.{len(self._hidden) - 1}\ue003"

    def _put(self, text: str) -> str:
        return re.sub(f"\ue002{self._controls.nonce}\\.(\\d+)\ue003", lambda found: self._hidden[int(found[1])], text)


def controls_of(tokenizer: Any) -> Controls:
    """The control tokens of a tokenizer; worked out once for each."""
    found = _controls.get(tokenizer)
    if found is None or found.template != tokenizer.chat_template:
        found = _controls[tokenizer] = Controls(tokenizer)
    return found


def tokens_of(tokenizer: Any, texts: Iterable[str], special: bool = False) -> list[list[int]]:
    """The tokens of plain texts, none of which is a control token of theirs."""
    texts = [*texts]
    if not texts:
        return []
    controls = controls_of(tokenizer)
    if not any(map(controls.found_in, texts)):
        return tokenizer(texts, add_special_tokens=special)["input_ids"]
    made = []
    for text in texts:
        cover = Cover(tokenizer)
        made.append(cover.ids(cover.hide(text), special))
    return made


class Controls:
    """The strings that a tokenizer makes control tokens of: special tokens, and marks that its chat template writes.

    A tokenizer without the library's backend, such as mistral-common's, makes no control token of text: it has none.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.template = tokenizer.chat_template
        self.nonce = secrets.token_hex(6)  # a text cannot know it; ids do not depend on it
        self._backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        template = json.dumps(self.template, ensure_ascii=False) if self.template else ""
        added = tokenizer.added_tokens_decoder.values() if self._backend else ()
        names = [
            one.content
            for one in added
            if one.content.strip() and (one.special or (_BRACKETS.fullmatch(one.content) and one.content in template))
        ]
        longest = sorted(names, key=len, reverse=True)  # as the tokenizer: the longest of those that match
        self.names = {name: f"\ue000{self.nonce}.{place}\ue001" for place, name in enumerate(longest)}
        self.pattern, self._own = _patterns(*longest) if longest else (None, None)
        self._normalizer = self._backend.normalizer if self._backend else None
        self._copy: Any = None
        self._first: dict[int, int] = {}

    def found_in(self, text: str) -> bool:
        """Whether the tokenizer could make a control token of a part of the text."""
        if self.pattern is None:
            return False
        if self.pattern.search(text):
            return True
        return (
            self._normalizer is not None
            and not text.isascii()
            and self.pattern.search(self._normalizer.normalize_str(text)) is not None
        )

    def renamed(self, text: str) -> str:
        """A text of the template's own with the names that the copy of the tokenizer knows."""
        return self._own.sub(lambda found: self.names[found[0]], text) if self._own else text

    def ids(self, text: str, special: bool) -> list[int]:
        """The tokens of a text in which control tokens have their other names."""
        if self._copy is None:
            self._copy, self._first = _copied(self._backend, self.names)
        ids: list[int] = self._copy.encode(text, add_special_tokens=special).ids
        return [self._first.get(token, token) for token in ids]


@lru_cache(maxsize=4)
def _patterns(*names: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What finds one of these names, the first that fits: in any case, since a normalizer may change it, and as it is.

    Some published models have 65,000 control tokens, for sounds; the patterns of so many take seconds.
    """
    first = "".join(sorted({re.escape(name[0]) for name in names}))  # tried first: there are hundreds of names
    either = f"(?=[{first}])(?:{'|'.join(map(re.escape, names))})"
    return re.compile(either, re.IGNORECASE), re.compile(either)


def _copied(backend: Any, names: dict[str, str]) -> tuple[Any, dict[int, int]]:
    """A tokenizer with other names for some added tokens, and the ids in it that differ: new -> old."""
    from tokenizers import AddedToken, Tokenizer

    added = backend.get_added_tokens_decoder()
    made: Any = Tokenizer(_model(backend, names))  # shares the vocabulary, which takes seconds to copy
    made.normalizer, made.pre_tokenizer = backend.normalizer, backend.pre_tokenizer
    made.post_processor = backend.post_processor
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    renamed = {
        i: AddedToken(names.get(one.content, one.content), **{flag: getattr(one, flag) for flag in flags})
        for i, one in sorted(added.items())
    }
    made.add_tokens([*renamed.values()])
    new = {made.token_to_id(one.content): i for i, one in renamed.items()}
    return made, {mine: its for mine, its in new.items() if mine != its}


def _model(backend: Any, names: dict[str, str]) -> Any:
    """The tokenizer's model; one that looks up whole words finds a control token that its vocabulary has, so there it
    is renamed too. Pairs that are merged never make one."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE

    model = backend.model
    if (isinstance(model, BPE) and not model.ignore_merges) or not any(
        model.token_to_id(one) is not None for one in names
    ):
        return model
    values = json.loads(backend.to_str()) | {"added_tokens": [], "post_processor": None}
    own = values["model"]
    if isinstance(own["vocab"], dict):
        own["vocab"] = {names.get(name, name): i for name, i in own["vocab"].items()}
    else:
        own["vocab"] = [[names.get(name, name), score] for name, score in own["vocab"]]
    if own.get("unk_token") in names:
        own["unk_token"] = names[own["unk_token"]]
    return Tokenizer.from_str(json.dumps(values)).model
