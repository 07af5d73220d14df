"""Which part of a completion its author says: thoughts, other channels and other speakers' turns are left out.

Published models mark their thoughts in many ways: tags such as `<think>`, tokens such as `<|channel|>analysis`. A
template may write the opening mark itself, so all before a closing mark without an opening one is thought too. So is
what follows an opening mark without a closing one. A mark in quotes is a word.
"""

from __future__ import annotations

import re

_NAMES = r"(?:\w{1,8}:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis|monologue)"
_MARK = re.compile(
    r"(?<![\"'])(?<!(?<!`)`)(?:"  # in quotes a mark is a word; next to a fence it is a mark
    rf"<(?P<open>){_NAMES}\s?>|</{_NAMES}\s?>"
    r"|\[(?P<open2>)THINK\]|\[/THINK\]"
    r"|<\|(?P<open3>)(?:begin_of_thought|start_thinking|think)\|>|<\|(?:end_of_thought|end_thinking|/think)\|>"
    r"|◁(?P<open4>)think▷|◁/think▷"
    r"|(?P<open5>)(?:<unused94>thought|<\|channel>thought)|<unused95>|<channel\|>"
    r")(?![\"']|`(?!`))",
    re.IGNORECASE,
)
"""The beginning (a group `open...` matches) or the end of thoughts."""
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)[^<]{0,200}<\|message\|>")
_STRIPPED = re.compile(r"\A\s*(?:analysis|commentary)\b.*?assistant\s?final\b", re.DOTALL)
_ENDS = re.compile(
    r"(?:<\|(?:im_end|eot_id|end|return|endoftext|end_of_text|end_of_turn)\|>|</s>\s*\Z|<end_of_turn>|<eos>)(?![\"'])"
)
_BEGINS = re.compile(
    r"\A\s*(?:<\|im_start\|>\s*assistant|<\|start_header_id\|>\s*assistant\s*<\|end_header_id\|>"
    r"|<\|start\|>\s*assistant|<start_of_turn>\s*model|<\|START_RESPONSE\|>|<\|begin_of_solution\|>)"
)
_RESPONSE = re.compile(r"<\|(?:START_RESPONSE|END_RESPONSE|begin_of_solution|end_of_solution)\|>")


def said(text: str) -> str:
    """The text without thoughts, marks of turns, and what follows the end of the first turn."""
    if "<|channel|>" in text:
        text = _final(text)
    elif text.lstrip().startswith(("analysis", "commentary")) and (found := _STRIPPED.match(text)):
        text = text[found.end() :]  # harmony's channels after their special tokens were dropped
    text = next((turn for turn in _ENDS.split(text) if turn.strip()), "")
    kept, start, thinking = list[str](), 0, False
    for mark in _MARK.finditer(text):
        opens = mark.lastgroup is not None
        if not opens:
            if not thinking:
                kept.clear()
            start, thinking = mark.end(), False
        elif not thinking:
            kept.append(text[start : mark.start()])
            thinking = True
    if not thinking:
        kept.append(text[start:])
    return _RESPONSE.sub("", _BEGINS.sub("", "".join(kept)))


def _final(text: str) -> str:
    """The messages of harmony's channel `final`; "" if there is none."""
    marks = [*_CHANNEL.finditer(text)]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return "\n".join(
        re.split(r"<\|(?:end|return|start|call)\|>", text[mark.end() : end])[0]
        for mark, end in zip(marks, ends, strict=True)
        if mark[1] == "final"
    )
