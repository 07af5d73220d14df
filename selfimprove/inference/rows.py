"""Rollouts as rows of token ids, and which of the tokens the assistant said: nothing else is trained on.

A completion may hold several messages, whose roles say who spoke: assistant, user, tool. What the assistant said stands
as it was drawn, with its end token; what stands between two replies is worded by the tokenizer's chat template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from selfimprove.inference.chat import completions_ids, end_of, prompts_ids
from selfimprove.records import ENDING, Message, Rollout
from selfimprove.text import plain

_SAID = "ANSWER"
"""What the assistant says where a chat template is asked what it puts after a reply."""


@dataclass(frozen=True)
class Row:
    """A rollout in tokens."""

    prompt: list[int]
    completion: list[int]
    said: list[int]
    """For each token of the completion 1 where the assistant drew it, 0 where a tool or another player said it."""

    @property
    def ids(self) -> list[int]:
        """All tokens."""
        return self.prompt + self.completion

    @property
    def labels(self) -> list[int]:
        """All tokens, with -100 in the place of those that are not learned."""
        own = (token if learned else -100 for token, learned in zip(self.completion, self.said, strict=True))
        return [-100] * len(self.prompt) + [*own]


def rows_of(tokenizer: Any, rollouts: Sequence[Rollout]) -> list[list[Row]]:
    """The rows of each rollout: one, or one for each reply where one cannot show what the model saw.

    A template may show earlier turns otherwise than they were drawn: thoughts are left out, white space is cut off,
    and without a template no end token stands between two turns. Then each reply stands after the prompt that it was
    drawn with.
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


def joined(tokenizer: Any, rollouts: Sequence[Rollout]) -> list[Row]:
    """One row for each rollout, its replies and what stands between them; what is said after the last is cut off."""
    talks = [_talk(rollout.completion) for rollout in rollouts]
    asked = prompts_ids(
        tokenizer, [[*one.prompt.prompt, *before] for one, (before, _, _) in zip(rollouts, talks, strict=True)]
    )
    texts, ends = list[list[Message]](), list[bool | str]()
    for rollout, (_, replies, _) in zip(rollouts, talks, strict=True):
        texts += replies
        ends += [*[True] * (len(replies) - 1), *([rollout.ended] if replies else [])]
    said = iter(completions_ids(tokenizer, texts, ends))
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
    """A transcript as one rollout for each reply, after the prompt that the reply was drawn with.

    Args:
        earned: what came after each reply, until the next one; a reply's reward is the sum from there on. None: all was
            earned at the end, so that each reply has the reward of the rollout.

    Raises:
        ValueError: there are more or fewer numbers than replies.
    """
    before, replies, news = _talk(rollout.completion)
    if earned is not None and len(earned) != len(replies):
        raise ValueError(f"{len(earned)} rewards for {len(replies)} replies")
    if len(replies) == 1 and not before and earned is None:
        return [rollout]
    made, so_far = list[Rollout](), [*rollout.prompt.prompt, *before]
    ended = {name: value for name, value in rollout.info.items() if name not in ENDING}
    for place, reply in enumerate(replies):
        last = place == len(replies) - 1
        made.append(
            replace(
                rollout,
                prompt=replace(rollout.prompt, prompt=[*so_far]),
                completion=reply,
                reward=rollout.reward if earned is None else sum(earned[place:]),
                info=rollout.info if last else ended,
                **({} if len(replies) == 1 else {"logprobs": None, "ids": (), "noted": {}, "tops": []}),
            )
        )
        so_far += [*reply, *([] if last else news[place])]
    return made


def _talk(completion: Sequence[Message]) -> tuple[list[Message], list[list[Message]], list[list[Message]]]:
    """What is said before the first reply, the replies, and what follows each; a reply may have several messages."""
    runs = [(own, [*run]) for own, run in groupby(completion, lambda message: message["role"] == "assistant")]
    before = runs.pop(0)[1] if runs and not runs[0][0] else []
    return before, [run for own, run in runs if own], [run for own, run in runs if not own]


def between(tokenizer: Any, news: Sequence[Message]) -> list[int]:
    """What others say in tokens: those after a reply's end token, up to where the assistant speaks again."""
    if not tokenizer.chat_template:
        return tokenizer("\n\n" + plain(news), add_special_tokens=False)["input_ids"]
    talk: list[Message] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _SAID}]
    shown = tokenizer.apply_chat_template([*talk, *news], tokenize=False, add_generation_prompt=True)
    head = tokenizer.apply_chat_template(talk, tokenize=False).rpartition(_SAID)[0]
    after = shown[len(head) :] if shown.startswith(head + _SAID) else shown[shown.find(_SAID) :]
    after = after.removeprefix(_SAID)
    ids, end = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"], end_of(tokenizer)
    if ids and ids[0] == end:  # the reply has it already
        return ids[1:]
    return tokenizer(after, add_special_tokens=False)["input_ids"]
