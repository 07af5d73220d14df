"""Which text of a completion is the program: fences, thoughts, later blocks, prose around bare code."""

from __future__ import annotations

import time

import pytest

from selfimprove.problems.code_rows import checks_of, reference
from selfimprove.problems.program_text import defines, last_block, program_of
from selfimprove.safety.sandbox.grading import Checks

P = "def top(xs):\n    return max(xs)"
"""The program that is due."""
D = "def top(xs):\n    return xs[0]"
"""A draft."""
FENCED = f"```python\n{P}\n```"
TOP = Checks(function="top")


def fenced(tag: str, body: str) -> str:
    return f"```{tag}\n{body}\n```"


@pytest.mark.parametrize(
    "text",
    [
        # fences
        FENCED.replace("\n", "\r\n"),
        f"~~~python\n{P}\n~~~",
        f"````markdown-ish\n{D}\n````\n`````py\n{P}\n`````",
        f"````python\n{P}\n```",
        f"So: ```python\n{P}\n``` and that is all.",
        f"So:\n```\n{P}```",
        f"```python\n{P}```",
        f"```{P}\n```",
        f"```python {P}\n```",
        f"```{{.python .numberLines}}\n{P}\n```",
        f"```python title='top.py'\n{P}\n```",
        f"```top.py\n{P}\n```",
        f"```PYTHON3.11\n{P}\n```",
        "1. First:\n   ```python\n   def top(xs):\n       return max(xs)\n   ```",
        "> ```python\n> def top(xs):\n>     return max(xs)\n> ```",
        f"```python\n\n{P}\n",
        f"python\n{P}\n```\nThat is all.",
        f"```python\n{P}\n\nThis takes the largest.\nIt's fast.",
        f"Here it is: {P}",
        f"<pre><code class='language-python'>{P}</code></pre>",
        f"[PYTHON]\n{P}\n[/PYTHON]",
        f"[BEGIN]\n{P}\n[DONE]",
        f"<answer>\n{P}\n</answer>",
        # later blocks, earlier drafts
        f"{fenced('python', D)}\nBetter:\n{FENCED}",
        f"{FENCED}\n{fenced('python', 'from solution import top' + chr(10) + 'assert top([1]) == 1')}",
        f"{FENCED}\n{fenced('python', 'def test_top():' + chr(10) + '    assert top([1]) == 1')}",
        f"{FENCED}\nIt prints\n{fenced('', '3')}",
        f"{FENCED}\n{fenced('console', '$ python top.py')}",
        f"{FENCED}\n{fenced('javascript', 'const top = xs => xs[0]')}",
        f"{FENCED}\nThe signature\n{fenced('python', 'def top(xs):')}\nis kept.",
        f"{FENCED}\nTry it:\n```python\nprint(top([1,",
        f"{FENCED}\n```",
        # thoughts
        f"<think>{fenced('python', D)}</think>{FENCED}",
        f"Let me see. {fenced('python', D)} Done.\n</think>\n{FENCED}",
        f"{FENCED}\n<think>But {fenced('python', D)} would do</think>",
        f"[THINK]```python\n{D}[/THINK]{FENCED}",
        f"<|channel|>analysis<|message|>{fenced('python', D)}<|end|><|start|>assistant<|channel|>final<|message|>{FENCED}",
        f"◁think▷{fenced('python', D)}◁/think▷{FENCED}<|im_end|>",
        # prose around bare code
        f"Here is the function:\n\n{P}\n\nIt takes the largest.",
        f"Sure!\n{P}<|endoftext|>",
        f"{P}\n\nOutput:\n{fenced('text', '3')}",
        f"{P}\n\nUsage:\n{fenced('python', 'print(top([3]))')}",
        "So:\n\n    def top(xs):\n        return max(xs)\n\nDone.",
    ],
)
def test_the_program_is_found(text: str) -> None:
    assert program_of(text, TOP) == P


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("", None),
        ("  \n", None),
        ("I do not know.", None),
        ("Yes", None),
        ("Note: nothing", None),
        (fenced("json", "{}"), None),
        (fenced("python", ""), None),
        (f"<think>{FENCED}", None),
        (f"<think>\nMaybe\n{FENCED}\nbut I must not say it", None),
        ("x = 1", "x = 1"),
        (fenced("", "x = 1"), "x = 1"),
        (fenced("py", "def f():\n    return '```'"), "def f():\n    return '```'"),
        (fenced("python", 's = """\n```\na\n```\n"""'), 's = """\n```\na\n```\n"""'),
        (fenced("python", 'a, b = "<think>", "</think>"'), 'a, b = "<think>", "</think>"'),
        (fenced("python", 'a, b = "<|im_end|>", "<eos>"'), 'a, b = "<|im_end|>", "<eos>"'),
        # a script is known by what it reads, then by what it prints
        (f"{fenced('', 'print(int(input()))')}\nFor 3 it prints\n{fenced('', '3')}", "print(int(input()))"),
        (f"{fenced('python', 'print(6)')}\n{fenced('', '6')}", "print(6)"),
        (f"{fenced('python', P)}\n{fenced('python', 'print(top([int(input())]))')}", f"{P}\n\nprint(top([int(input())]))"),
        # bare code: what is not Python falls out, what is cut off stays as it is
        ("import math\nThen:\nx = 1\nif x:\n    x = 2\nelse:\n    x = 3\nprint(x)\nIt prints 2.",
         "import math\nx = 1\nif x:\n    x = 2\nelse:\n    x = 3\nprint(x)"),
        ("So:\ndef f(x):\n    return (x +", "def f(x):\n    return (x +"),
    ],
)  # fmt: skip
def test_a_program_of_no_certain_function(text: str, program: str | None) -> None:
    assert program_of(text) == program


def test_the_last_program_counts_even_if_it_is_cut_off() -> None:
    assert program_of(f"{FENCED}\nNo:\n```python\ndef top(xs):\n    return xs[", TOP) == "def top(xs):\n    return xs["
    assert program_of(f"{FENCED}\nNo:\n{fenced('python', D)}", TOP) == D


@pytest.mark.parametrize(
    "body",
    [
        '    return """\n```\ncode\n```\n"""',
        '    s = """\n```python\nprint(1)\n```\n"""\n    return s',
        "    return '```' + xs + '```'",
        '    """Example:\n\n    ```\n    >>> top(1)\n    ```\n    """\n    return xs',
        "    return xs.split('```python\\n')[1].split('```')[0]",
        "    return '\\n'.join([\n        '```',\n        xs,\n        '```',\n    ])",
        '    return f"""```json\n{xs}\n```"""',
    ],
)
def test_a_fence_in_a_string_of_the_program_ends_no_block(body: str) -> None:
    program = f"def top(xs):\n{body}"
    for text in ("```python\n{}\n```", "```\n{}\n```\nIt works:\n```\n5\n```", "~~~python\n{}\n~~~", "```python\n{}"):
        assert program_of(text.format(program), TOP) == program
    assert checks_of(reference(program, TOP)) == TOP and program_of(reference(program, TOP), TOP) == program


def test_blocks_that_a_program_needs_join_it() -> None:
    helper, usage = "def largest(xs):\n    return max(xs)", "print(top([1]))"
    short = "def top(xs):\n    return largest(xs)"
    text = "\n".join(fenced("python", part) for part in ("import os", helper, short, usage))
    assert program_of(text, TOP) == f"{helper}\n\n{short}"


def test_the_body_alone_completes_a_head() -> None:
    head = 'def top(xs):\n    """The largest."""'
    checks = Checks(function="top", head=head)
    for text in (
        "    return max(xs)",
        "\n    return max(xs)\n\n\nprint(top([1]))",
        "return max(xs)",
        fenced("python", "    return max(xs)"),
        fenced("python", "return max(xs)"),
    ):
        assert program_of(text, checks) == f"{head}\n    return max(xs)\n", text
    assert program_of("x = max(xs)\n    return x", checks) == f"{head}\n    x = max(xs)\n    return x\n"
    assert program_of(FENCED, checks) == P


def test_a_value_is_the_last_block_or_all() -> None:
    for text in (
        "[1, 2]",
        fenced("python", "[1, 2]"),
        f"{FENCED}\nso\n{fenced('', '[1, 2]')}",
        "<think>3</think>[1, 2]",
    ):
        assert last_block(text) == "[1, 2]"
    assert last_block("'```py'") == "'```py'" and last_block(fenced("json", "1")) is None


def test_a_method_and_a_function_of_its_name() -> None:
    method = "class Solution:\n    def ends(self):\n        pass"
    for source, function, defined in (
        (method, "Solution.ends", True),
        ("def ends(): pass", "Solution.ends", True),
        (method, "ends", False),
        ("class Solution: pass", "Solution.ends", False),
        ("ends: object = min", "ends", True),
        ("ends == 2", "ends", False),
        ("def ends2(): pass", "ends", False),
    ):
        assert defines(source, function) is defined, (source, function)


@pytest.mark.parametrize(
    "piece", ["(", "x = (\n", "```", "```\n", "`", " ", "<think>", "> - ", "def f(\n", "~~~py\n", "-"]
)
def test_long_texts_are_read_in_time(piece: str) -> None:
    begun = time.process_time()
    program_of(piece * (30_000 // len(piece)), TOP)
    assert time.process_time() - begun < 3
