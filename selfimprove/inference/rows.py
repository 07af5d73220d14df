"""Rollouts as rows of token ids, with a mask of the assistant's tokens: training uses only these.

A completion may hold several messages, whose roles say who spoke: assistant, user, tool. The assistant's tokens are as
drawn, with the end token; the text between two replies comes from the tokenizer's chat template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from selfimprove.inference.chat import completions_ids, end_of, prompts_ids
from selfimprove.inference.foreign import Cover, tokens_of
from selfimprove.inference.thinking import begins_after, told
from selfimprove.records import ENDING, Message, Rollout
from selfimprove.text import plain

_SAID = "ANSWER"
"""Placeholder reply to find out what a chat template puts after a reply."""


@dataclass(frozen=True)
class Row:
    """A rollout in tokens."""

    prompt: list[int]
    completion: list[int]
    said: list[int]
    """For each token of the completion 1 if the assistant drew it, 0 if a tool or another player said it."""

    @property
    def ids(self) -> list[int]:
        """All tokens."""
        return self.prompt + self.completion

    @property
    def labels(self) -> list[int]:
        """All tokens, with -100 for those that are not learned."""
        own = self.completion
        if 0 in self.said:
            own = [token if learned else -100 for token, learned in zip(own, self.said, strict=True)]
        return [-100] * len(self.prompt) + own


def rows_of(tokenizer: Any, rollouts: Sequence[Rollout]) -> list[list[Row]]:
    """The rows of each rollout: one, or one per reply if one row cannot show what the model saw.

    A template may show earlier turns differently from how they were drawn: it may drop thoughts or trim white space,
    and without a template there is no end token between two turns. Then each reply gets its own row, after the prompt
    that it was drawn with.
    """
    made = [[row] for row in joined(tokenizer, rollouts)]
    for place, rollout in enumerate(rollouts):
        turns = turns_of(rollout)
        if len(turns) < 2:
            continue
        alone = joined(tokenizer, turns)
        whole = made[place][0].ids
        if any(whole[: len(row.ids)] != row.ids for row in alone):
            made[place] = alone
    return made


def document_rows(tokenizer: Any, texts: Sequence[str], longest: int, split: bool = True) -> list[list[Row]]:
    """The rows of each text for a language-modeling loss: all of its tokens are learned, and an end token after them.

    The start token, where the tokenizer sets one before a text, is a prompt; without one the first token of a row only
    begins it. A row of fewer than two tokens teaches nothing and is left out.

    Args:
        longest: most tokens of a row.
        split: a longer text becomes several rows, of which the last has the end token; else it is cut off.
    """
    bare, end = tokens_of(tokenizer, texts), tokenizer.eos_token_id
    head = [] if (start := tokenizer.bos_token_id) is None or start not in _around(tokenizer) else [start]
    size, made = max(2, longest) - len(head), list[list[Row]]()
    for ids in bare:
        ids = [*ids, *([] if end is None else [end])]
        parts = [ids[at : at + size] for at in range(0, len(ids), size)][: None if split else 1]
        made.append([Row(head, part, [1] * len(part)) for part in parts if len(head) + len(part) > 1])
    return made


def _around(tokenizer: Any) -> list[int]:
    """The tokens that the tokenizer sets around a text."""
    return tokens_of(tokenizer, [""], special=True)[0]


def joined(tokenizer: Any, rollouts: Sequence[Rollout]) -> list[Row]:
    """One row per rollout, with its replies and the text between them; text after the last reply is cut off."""
    talks = [_talk(rollout.completion) for rollout in rollouts]
    asked = prompts_ids(
        tokenizer, [[*one.prompt.prompt, *before] for one, (before, _, _) in zip(rollouts, talks, strict=True)]
    )
    texts, ends, begins = list[list[Message]](), list[bool | str](), list[str]()
    for rollout, prompt, (_, replies, _) in zip(rollouts, asked, talks, strict=True):
        texts += replies
        begins += [begins_after(tokenizer, prompt if not place else ()) for place in range(len(replies))]
        ends += [*(reply[-1].get("ended", True) for reply in replies[:-1]), *([rollout.ended] if replies else [])]
    said = iter(completions_ids(tokenizer, texts, ends, begins))
    rows = []
    for prompt, (_, replies, news) in zip(asked, talks, strict=True):
        ids, learned = list[int](), list[int]()
        for place in range(len(replies)):
            heard = between(tokenizer, news[place - 1]) if place else []
            own = next(said)
            ids += [*heard, *own]
            learned += [*[0] * len(heard), *[1] * len(own)]
        rows.append(Row(prompt, ids, learned))
    return rows


def turns_of(rollout: Rollout, earned: Sequence[float] | None = None) -> list[Rollout]:
    """A transcript as one rollout per reply, with the prompt that the reply was drawn with.

    Args:
        earned: the reward after each reply, until the next one; a reply's reward is the sum from there on. None means
            that everything was earned at the end, so each reply gets the reward of the rollout.

    Raises:
        ValueError: the number of rewards differs from that of replies.
    """
    before, replies, news = _talk(rollout.completion)
    if earned is not None and len(earned) != len(replies):
        raise ValueError(f"{len(earned)} rewards for {len(replies)} replies")
    if len(replies) == 1 and not before and earned is None:
        return [rollout]
    made, so_far = list[Rollout](), [*rollout.prompt.prompt, *before]
    info = {name: value for name, value in rollout.info.items() if name not in ENDING}
    for place, reply in enumerate(replies):
        last = place == len(replies) - 1
        made.append(
            replace(
                rollout,
                prompt=replace(rollout.prompt, prompt=[*so_far]),
                completion=reply,
                reward=rollout.reward if earned is None else sum(earned[place:]),
                info=rollout.info if last else info | _ending(reply[-1].get("ended", True)),
                **({} if len(replies) == 1 else {"logprobs": None, "ids": (), "noted": {}, "tops": []}),
            )
        )
        so_far += [*reply, *([] if last else news[place])]
    return made


def _ending(ended: bool | str) -> dict[str, Any]:
    """The `info` of a reply whose `Rollout.ended` is this."""
    return {"stop_token": ended} if isinstance(ended, str) else {} if ended else {"finish_reason": "length"}


def _talk(completion: Sequence[Message]) -> tuple[list[Message], list[list[Message]], list[list[Message]]]:
    """The messages before the first reply, the replies, and the messages after each; a reply may have several."""
    runs = [(own, [*run]) for own, run in groupby(completion, lambda message: message["role"] == "assistant")]
    before = runs.pop(0)[1] if runs and not runs[0][0] else []
    return before, [run for own, run in runs if own], [run for own, run in runs if not own]


def between(tokenizer: Any, news: Sequence[Message]) -> list[int]:
    """The tokens after a reply's end token, up to the assistant's next reply."""
    if not tokenizer.chat_template:
        return tokens_of(tokenizer, ["\n\n" + plain(news)])[0]
    cover = Cover(tokenizer)
    heard = [told(tokenizer, message, cover) for message in news]
    talk: list[Message] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SAID}]
    shown = tokenizer.apply_chat_template([*talk, *heard], tokenize=False, add_generation_prompt=True)
    head = tokenizer.apply_chat_template(talk, tokenize=False).rpartition(_SAID)[0]
    after = shown[len(head) :] if shown.startswith(head + _SAID) else shown[shown.find(_SAID) :]
    after = after.removeprefix(_SAID)
    ids, end = cover.ids(after.lstrip()), end_of(tokenizer)
    if ids and ids[0] == end:  # the reply has it already
        return ids[1:]
    return cover.ids(after)
