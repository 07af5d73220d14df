"""Finds the program in a completion: which block it is, what belongs to it, and bare code between prose.

Not a method: the tasks and rewards that run programs use it. The rules, in order:

1. Thoughts are left out, and with a thought that never ends all that follows its beginning.
2. Blocks are fences of any form (backticks, tildes, indented, quoted, begun in a line, not closed), else the tags that
   some models write. A block marked as another language, or as output, is no program.
3. The program is the last block that defines the function that is asked for. Later blocks that only use it, test it
   or show its output do not count. Where no function is asked for, it is the last block that reads the input, else the
   last that defines something, else the last that prints.
4. Other blocks join it if it uses a function, a class or a module that only they define.
5. Without a block, the statements of Python between the prose are the program.
6. Where the problem gives the head of a function, as HumanEval does, its body alone is a program.
"""

from __future__ import annotations

import ast
import html
import re
import textwrap
from dataclasses import dataclass

from selfimprove.problems import thoughts
from selfimprove.safety.sandbox.grading import Checks

_TRIED = 40
"""Ends that are tried for one block or one statement."""
_FEW = 9
"""Ends up to which a block is taken for the last one."""
_READ = 500_000
"""Characters that are parsed, at most, in search of statements between prose."""
_FENCE = re.compile(r"(`{3,}|~{3,}|'{3}(?=py))([^\n`]*)$", re.MULTILINE)
_MARGIN = re.compile(r"[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?")
_ONE_LINE = re.compile(r"(?<!`)(`{1,3})(?!`)(?:(?:python3?|py)\b[ \t]*)?([^`\n]+?)\1(?!`)", re.IGNORECASE)
_WRAPPED = re.compile(
    r"<pre[^>]*>\s*<code[^>]*>(.*?)</code>|<(code|python|solution|answer|tool_code)>(.*?)(?:</\2>|\Z)"
    r"|\[(PYTHON|CODE)\](.*?)(?:\[/\4\]|\Z)|\[BEGIN\](.*?)(?:\[DONE\]|\Z)|<\|python_tag\|>(.*?)(?:<\||\Z)"
    r"|\\begin\{(lstlisting|verbatim|minted)\}(?:\[[^\]\n]*\]|\{\w+\})*(.*?)\\end\{\8\}",
    re.DOTALL,
)
_REST_OF_FENCE = re.compile(r"\s*(?:python3?|py)[ \t]*\n")
"""How a completion begins whose prompt ends with the mark of a fence."""
_PYTHON = re.compile(r"(?:python|py|ipython)[\d.]*|tool_code|code", re.IGNORECASE)
_STATEMENT = re.compile(
    r"(?:def|class|async def|import|from|if|for|while|with|try|elif|else|except|finally|print|assert|return|raise)\b"
    r"|@\w|[A-Za-z_][\w.]*(?:\[[^\]\n]*\])*(?:, *[A-Za-z_]\w*)*(?: *:[^=\n]+)? *[-+*/%&|^]?=(?!=)|[A-Za-z_][\w.]*\("
)
_CODE_LINE = re.compile(r"^(?:def \w+\(|class \w+[:(]|import \w+|from [\w.]+ import |print\()", re.MULTILINE)
_WITHIN = re.compile(r"^[A-Z][^\n]*?: +(?=(?:async +)?def +\w+ *\(|class +\w+ *[(:])", re.MULTILINE)
_NAMES = re.compile(r"^(?:async +)?(?:def|class) +(\w+)|^import +(?:\w+ +as +)?(\w+)|^from [\w.]+ import +(.+)$", re.M)
_READS = re.compile(r"(?<![.\w])input *\(|sys\.stdin(?! *=)|(?<![.\w])stdin\.|open\(0\)|os\.read\(0|fileinput")
_PRINTS = re.compile(r"(?<![.\w])print *\(|stdout|os\.write\(1")
_STUB = re.compile(r"^ *(?:async +)?def [^\n]*?:[ \t]*(?:\.\.\.|pass)?\s*(?:\.\.\.|pass)?\s*\Z", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code in a completion."""

    tag: str
    """`python`, the name of another language, or "" if it is not marked."""
    body: str


def program_of(text: str, checks: Checks | None = None) -> str | None:
    """The program in a completion; None if it has none.

    Args:
        checks: the tests of the problem, which name the function that is asked for and may give its head.
    """
    function, head = (checks.function, checks.head) if checks is not None else ("", "")
    said, blocks, rest = _parted(text)
    programs = [block for block in blocks if block.tag in ("python", "") and block.body.strip()]
    chosen = _chosen(programs, function)
    if chosen is None or (function and not defines(chosen.body, function)):
        bare = _bare(rest if blocks else said, function)
        if bare and (chosen is None or defines(bare, function)):
            chosen = Block("python", bare)
        if head and not blocks and not (chosen and defines(chosen.body, function)):
            chosen = Block("python", said.strip("\n"))
    if chosen is None or not chosen.body.strip():
        return None
    if head and not defines(chosen.body, function):
        return _completed(head, chosen.body)
    return _joined(programs, chosen, function)


def last_block(text: str) -> str | None:
    """The last block of Python or without a mark that is not in a thought, else all that was said; None if empty."""
    said, blocks, _ = _parted(text)
    bodies = [block.body for block in blocks if block.tag in ("python", "") and block.body.strip()]
    found = bodies[-1] if bodies else "" if blocks else said
    return found.strip("\n") if found.strip() else None


def defines(source: str, function: str) -> bool:
    """Whether a program defines a function; `Solution.solve` is a method, or a function of that name."""
    *owner, name = map(re.escape, function.split("."))
    plain = rf"^(?:async +)?(?:def|class) +{name}\b|^{name} *(?::[^=\n]+)?=(?!=)"
    method = rf"\A(?=.*^class +{owner[0]}\b)(?=.*\bdef +{name}\b)" if owner else r"(?!)"
    return bool(re.search(plain, source, re.M) or re.search(method, source, re.M | re.S))


# ---- what was said, in blocks ----------------------------------------------------------------------------------------
def _parted(text: str) -> tuple[str, list[Block], str]:
    """What was said outside of thoughts, its blocks, and what stands between them."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    said = thoughts.said(text)
    if _REST_OF_FENCE.match(said):
        said = f"```{said.lstrip()}"
    blocks, rest = _fenced(said)
    if blocks:
        return said, blocks, rest
    parts = [
        [part for part in one.groups() if part and ("\n" in part.strip() or _CODE_LINE.search(part))]
        for one in _WRAPPED.finditer(said)
    ]
    blocks = [Block("", html.unescape(part[-1]).strip("\n")) for part in parts if part]
    return said, blocks, _WRAPPED.sub("\n", said) if blocks else said


def _fenced(text: str) -> tuple[list[Block], str]:
    """The fenced blocks of a text, and the rest of it."""
    blocks, rest, at, looked, endless = list[Block](), list[str](), 0, 0, set[str]()
    while opened := _FENCE.search(text, looked):
        before = text[max(at, text.rfind("\n", 0, opened.start()) + 1) : opened.start()]
        fence, info = opened.groups()
        looked = opened.end()
        if not _MARGIN.fullmatch(before):  # in the middle of a line
            alone = re.fullmatch(r"[{.]*\w[\w+#.-]*}?\s*", info) or (not info.strip() and before.rstrip().endswith(":"))
            if fence[0] != "`" or not alone:
                continue
        tag, first = _tag(info)
        body, looked = _body(text, opened.end() + 1, fence, endless, (tag, first))
        if before.lstrip().startswith(">"):
            body = re.sub(r"^[ \t]*>[ ]?", "", body, flags=re.MULTILINE)
        rest.append(text[at : opened.start()] + "\n")
        blocks.append(Block(tag, _level(body)))
        at = looked
    rest.append(text[at:])
    return blocks, "".join(rest)


def _tag(info: str) -> tuple[str, str]:
    """The language of a fence, and the code that stands in its line."""
    info = info.strip()
    if re.match(r"(?:def|class|import|from|async)\b|@\w|print\(", info):
        return "", info
    word, after = re.findall(r"^[{.\s]*([\w+#.-]*)[}:,]?(.*)", info)[0]
    first = after.strip() if _CODE_LINE.match(after.strip()) else ""
    if _PYTHON.fullmatch(word) or info.endswith(".py"):
        return "python", first
    return word.lower(), first


def _body(text: str, at: int, fence: str, endless: set[str], told: tuple[str, str]) -> tuple[str, int]:
    """The body of a block and where it ends: at the first end that leaves whole Python, else at the first end.

    Args:
        endless: forms of ends that do not come any more, so that many open fences take no quadratic time.
        told: the language and the code in the line of the fence.
    """
    mark, ends, (tag, first) = re.escape(fence[0]), list[tuple[int, int]](), told
    for shortest, after in ((len(fence), r"[ \t]*$\n?"), (3, r"[ \t]*$\n?"), (3, "")):
        form = rf"(?:^[ \t>]*|(?<=[^\s{mark}])){mark}{{{shortest},}}{after}"
        found = re.compile(form, re.MULTILINE).finditer(text, at) if form not in endless else iter(())
        ends = [(one.start(), one.end()) for one, _ in zip(found, range(_TRIED), strict=False)]
        if ends:
            break
        endless.add(form)
    head = first + "\n" if first else ""
    if tag in ("python", "") and ends:
        last = [(len(text), len(text))] if len(ends) < _FEW else []  # the ends may be in strings of an open block
        for begin, end in (*ends, *last):
            if _parse(_level(head + text[at:begin])) is not None:
                return head + text[at:begin], end
    if not ends:
        return _unexplained(head + text[at:]), len(text)
    return head + text[at : ends[0][0]], ends[0][1]


def _unexplained(body: str) -> str:
    """The body of a block that is not closed, up to the prose that follows the program."""
    lines = body.split("\n")
    prose = [at for at, line in enumerate(lines) if line[:1].isalpha() and not _STATEMENT.match(line)]
    wholes = ("\n".join(lines[:at]) for at in prose[:_TRIED])
    whole = None if _parse(_level(body)) else next((one for one in wholes if one.strip() and _parse(_level(one))), None)
    return body if whole is None else whole


def _level(body: str) -> str:
    """A body without the indentation that its first line has."""
    body = body.strip("\n")
    lines = [line for line in body.split("\n") if line.strip()]
    return textwrap.dedent(body) if lines and lines[0][0] in " \t" else body


# ---- which block -----------------------------------------------------------------------------------------------------
def _chosen(blocks: list[Block], function: str) -> Block | None:
    """The block that is the program, see the rules above."""
    if function and (defining := [block for block in blocks if defines(block.body, function)]):
        whole = [block for block in defining if not _STUB.search(block.body)]
        return (whole or defining)[-1]
    reading = [block for block in blocks if _READS.search(block.body)]
    defining = [block for block in blocks if any(name[:4].lower() != "test" for name in _defined(block.body)[0])]
    printing = [block for block in blocks if _PRINTS.search(block.body)]
    marked = [block for block in blocks if block.tag == "python"]
    return next((found[-1] for found in (reading, defining, printing, marked, blocks) if found), None)


def _defined(source: str) -> tuple[set[str], set[str]]:
    """The functions and classes that a program defines, and the names that it imports, as far as plain lines tell."""
    names, imported = set[str](), set[str]()
    for own, module, many in _NAMES.findall(source):
        names |= {own} - {""}
        imported |= {module, *(part.split(" as ")[-1].strip(" ()") for part in many.split(","))} - {""}
    return names, imported


def _joined(blocks: list[Block], chosen: Block, function: str) -> str:
    """The program with the blocks that define what it uses and does not define. A script is joined to earlier ones."""
    own, at = set().union(*_defined(chosen.body)), blocks.index(chosen) if chosen in blocks else len(blocks)

    def needed(block: Block) -> bool:
        names = set().union(*_defined(block.body)) - own
        used = any(re.search(rf"\b{re.escape(name)}\b", chosen.body) for name in names)
        return used and not _READS.search(block.body)

    parts = [block.body for block in blocks[:at] if needed(block)] + [chosen.body]
    parts += [block.body for block in blocks[at + 1 :] if function and needed(block)]
    return "\n\n".join(part.strip("\n") for part in parts)


def _completed(head: str, body: str) -> str:
    """The head of a function with its body, which ends where a line is not indented any more."""
    lines = body.strip("\n").split("\n")
    if lines[0][:1] in (" ", "\t"):
        end = next((at for at, line in enumerate(lines) if line[:1] not in ("", " ", "\t")), len(lines))
        lines = lines[:end]
    body = "\n".join(lines).rstrip()
    forms = [textwrap.indent(textwrap.dedent(body), "    "), f"    {body}"]
    programs = [f"{head.rstrip()}\n{form}\n" for form in forms]
    return next((program for program in programs if _parse(program)), programs[0])


# ---- code without a block --------------------------------------------------------------------------------------------
def _bare(text: str, function: str) -> str | None:
    """The statements of Python in a text without blocks; None if there are none."""
    tree = _parse(text)
    if tree is not None:
        return text.strip("\n") if any(map(_acts, tree.body)) else None
    begun = _WITHIN.sub("", text)  # Here it is: def f(x): return x
    forms = (_statements(text), _statements(_indented(text)), *(m[2] for m in _ONE_LINE.finditer(text)))
    for found in (*forms, *([_statements(begun)] if begun != text else [])):
        code = _parse(found)
        if code is not None and any(map(_acts, code.body)) and (defines(found, function) if function else True):
            return found.strip("\n")
    line = _CODE_LINE.search(text)
    return text[line.start() :].strip("\n") if line else None  # cut off, or not Python: it fails with its own error


def _statements(text: str) -> str:
    """The lines of a text that are statements of Python and do something, as one program."""
    lines = text.split("\n")
    starts = [at for at, line in enumerate(lines) if line.strip() and line[0] not in " \t"]
    found, at, left = list[str](), 0, _READ
    while at < len(starts):
        begun = _STATEMENT.match(lines[starts[at]]) is not None
        for end in range(at + 1, min(at + _TRIED, len(starts)) + 1) if begun and left > 0 else ():
            chunk = "\n".join(lines[starts[at] : starts[end] if end < len(starts) else len(lines)])
            joins = bool(found) and re.match(r"(?:elif|else|except|finally)\b", chunk) is not None
            left -= len(chunk)
            tree = _parse(f"{found[-1]}\n{chunk}" if joins else chunk)
            if tree is not None and any(map(_acts, tree.body)):
                found[-1:] = [f"{found[-1]}\n{chunk}"] if joins else [*found[-1:], chunk]
                at = end - 1
                break
        at += 1
    return "\n".join(found)


def _indented(text: str) -> str:
    """The indented lines of a text, without their indentation."""
    return textwrap.dedent("\n".join(line if line[:2].isspace() else "" for line in text.split("\n")))


def _acts(node: ast.stmt) -> bool:
    """Whether a statement does something: a name, a value or `Note: text` alone does not."""
    if isinstance(node, ast.Expr):
        return any(isinstance(part, ast.Call | ast.Await) for part in ast.walk(node))
    return not (isinstance(node, ast.AnnAssign) and node.value is None)


def _parse(source: str) -> ast.Module | None:
    """The tree of a program; None if it is not Python."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
