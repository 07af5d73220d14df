"""Tokenizers of models that think, each with a short template of its own; nothing of them is published.

Load this file by its path: the tests are no package.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

_TURNS = (
    "{% for one in messages %}<|{{ one.role }}|>"
    "{% if one.reasoning_content and loop.last %}<think>\n{{ one.reasoning_content }}\n</think>\n\n{% endif %}"
    "{{ one.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>"
)
_CHANNELS = (
    "{% for one in messages %}<|start|>{{ one.role }}"
    "{% if one.role == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ one.content }}"
    "{{ '<|return|>' if loop.last and one.role == 'assistant' else '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
THINKERS = {
    "tags": (_TURNS + "{% endif %}", ["<think>", "</think>"], []),
    "quiet": (_TURNS + "<think>\n\n</think>\n\n{% endif %}", ["<think>", "</think>"], []),
    "opened": (_TURNS + "<think>\n{% endif %}", ["<think>", "</think>"], []),
    "special": (
        "{% for one in messages %}<|{{ one.role }}|>{{ one.content }}<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        [],
        ["[THINK]", "[/THINK]"],
    ),
    "channels": (_CHANNELS, [], ["<|start|>", "<|channel|>", "<|message|>", "<|return|>", "<|call|>"]),
    "code": (
        "{% for one in messages %}<|{{ one.role }}|>{{ one.content }}<|end|>{% endfor %}<|assistant|>",
        [],
        ["<|python_tag|>"],
    ),
    "text": (_TURNS + "{% endif %}", [], []),
}
"""Name -> template, added tokens that are not special, and those that are."""


def thinker(small_llama: ModuleType, name: str) -> Any:
    """A byte-level tokenizer with the template and the marks of that name."""
    template, marks, special = THINKERS[name]
    made = small_llama.tokenizer(False)
    made.add_tokens(marks)
    made.add_tokens(special, special_tokens=True)
    made.chat_template = template
    if name == "channels":
        made.eos_token = "<|return|>"
    return made
