"""The process that runs one program. The program may change everything in here, so nothing here is trusted.

A request is one JSON object. Answers are lines of JSON on a separate pipe, one for each call, in order:
{"value": ...}, {"error": type, "text": ...} or, for a whole program that failed, {"failed": type, "text": ...}. Where
tests call a program, "after" has the arguments if the call changed them, and "kind" the built-in type of an exception.
"""

from __future__ import annotations
import __future__

import ast
import atexit
import builtins
import json
import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from selfimprove.safety.sandbox import surroundings, values

_ENDS = (StopIteration, StopAsyncIteration)
"""Exceptions that end a loop of whoever calls, so that the rest of it is never done."""
_FEATURES = sum(getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
_RAN = "__assertion_held__"
"""The name that tests call after each assertion."""


def run(request: dict[str, Any], answers: int, questions: int) -> NoReturn:
    """Run the program of a request and end the process.

    Args:
        answers: the descriptor for answers.
        questions: the descriptor for incoming calls, if tests call the program.
    """
    report = _reporter(answers)
    code = 0
    try:
        if request["mode"] == "stdin":
            _script(request)
        elif request["mode"] == "tests":
            _tests(request, report, questions)
        else:
            _calls(request, report, questions)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else error.code is not None
        if request["mode"] != "stdin":
            report(_failure("failed", error))
    except BaseException as error:
        code = 1
        report(_failure("failed", error))
    finally:
        _end(code)


def rehearse() -> None:
    """Run a program of our own, so that Python has made ready what every program needs before children are forked."""
    before, own = {*sys.modules}, "import math\ndef f(x):\n    return [x, {x: math.pi}]"
    request = {"source": own, "function": "f", "arguments": [values.encode([number]) for number in range(20)]}
    for _ in range(20):
        _calls({**json.loads(json.dumps(request)), "mode": "calls"}, lambda answer: None, -1)
    for name in {*sys.modules} - before:
        del sys.modules[name]
    linecache.clearcache()


def _script(request: dict[str, Any]) -> None:
    """A whole program, as `python program.py` would run it."""
    _execute(request, "__main__")


def _execute(request: dict[str, Any], name: str) -> Any:
    """A module with what stands in front of the program and the program, each compiled by itself: it may begin with
    imports from the future, and its file may begin with a byte order mark."""
    source = request["source"].removeprefix("\ufeff")
    made, flags = surroundings.module(name, source), 0
    for part, file in ((request.get("imports"), "imports.py"), (source, surroundings.NAME)):
        if part is not None:
            code = compile(part, file, "exec", flags, dont_inherit=True)
            flags = code.co_flags & _FEATURES
            exec(code, made.__dict__)  # noqa: S102 - what this is for
    return made


def _calls(request: dict[str, Any], report: Callable[[dict[str, Any]], None], questions: int) -> None:
    """One function of a program, called once for each list of arguments."""
    function = _load(request)
    coming = _lines(questions) if request["mode"] == "serve" else iter(request["arguments"])
    if request["mode"] == "serve":
        report({"value": None})  # loaded, and ready to be called
    for arguments in coming:
        try:
            given = values.decode(arguments)
            plain, named = given if isinstance(given, tuple) else (given, {})
            answer = {"value": values.encode(function(*plain, **named))}
            report({**answer, **(_after(plain, named, arguments) if request["mode"] == "serve" else {})})
        except values.ValueRefused as error:
            report({"error": "type", "text": str(error)})
        except Exception as error:
            kinds = (kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins")
            report({**_failure("error", error), "kind": next(kinds, "Exception")})


def _after(plain: list[Any], named: dict[str, Any], arguments: Any) -> dict[str, Any]:
    """The arguments after a call, if it changed them and they can be sent."""
    try:
        now = values.encode((plain, named) if named else plain)
    except values.ValueRefused:
        return {}
    return {} if now == arguments else {"after": now}


def _tests(request: dict[str, Any], report: Callable[[dict[str, Any]], None], questions: int) -> None:
    """Tests that call a program which runs in another process; one answer for each test: passed or not."""
    coming = _lines(questions)

    def candidate(*arguments: Any, **named: Any) -> Any:
        report({"call": values.encode((list(arguments), named) if named else list(arguments))})
        reply = next(coming)
        if "after" in reply:
            after = values.decode(reply["after"])
            changed = (*after[0], *after[1].values()) if named else after
            _take(zip((*arguments, *named.values()), changed, strict=False))
        if "value" in reply:
            return values.decode(reply["value"])
        raise _exception(reply["kind"], reply["text"])

    scope, held = surroundings.module("tests").__dict__, [0]

    def ran() -> None:
        held[0] += 1

    given = {"candidate": candidate, request["function"]: candidate, _RAN: ran}
    scope.update(given)
    setup = _counted(request["setup"])
    named = (node for node in ast.walk(setup) if isinstance(node, ast.FunctionDef | ast.ClassDef))
    asserting = {node.name for node in named if any(map(_can_hold, ast.walk(node)))}
    exec(compile(setup, "setup.py", "exec", dont_inherit=True), scope)  # noqa: S102
    for test in request["tests"]:
        scope.update(given)
        before = held[0]
        try:
            tree = _counted(test)
            exec(compile(tree, "tests.py", "exec", dont_inherit=True), scope)  # noqa: S102
            report({"passed": held[0] > before or not _asserts(tree, asserting)})
        except Exception as error:
            report({"passed": False, **_failure("error", error)})


def _counted(source: str) -> ast.Module:
    """Tests in which each assertion that holds is counted."""

    class Count(ast.NodeTransformer):
        def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
            return [node, *ast.parse(f"{_RAN}()").body]

    return ast.fix_missing_locations(Count().visit(ast.parse(source)))


def _asserts(test: ast.Module, asserting: set[str]) -> bool:
    """Whether a test has an assertion, or names a part of the setup that has one: then one must have held."""
    return any(_can_hold(node) or (isinstance(node, ast.Name) and node.id in asserting) for node in ast.walk(test))


def _can_hold(node: ast.AST) -> bool:
    """Whether a node is an assertion, and not one such as `assert False` after a call that must raise an exception."""
    return isinstance(node, ast.Assert) and not (isinstance(node.test, ast.Constant) and not node.test.value)


def _exception(name: str, text: str) -> Exception:
    """The exception that a call of the program raised, for the tests. One that would end their loops early, so that
    they pass, is none that they can see."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception) or issubclass(kind, _ENDS):
        return RuntimeError(text)
    try:
        error = kind.__new__(kind)
    except TypeError:  # a group of exceptions
        return RuntimeError(text)
    error.args = (text,)
    return error


def _take(pairs: Iterable[tuple[Any, Any]]) -> None:
    """Put what a call has left in its arguments into ours."""
    for ours, theirs in pairs:
        if isinstance(ours, list) and isinstance(theirs, list):
            ours[:] = theirs
        elif isinstance(ours, dict | set) and type(ours) is type(theirs):
            ours.clear()
            ours.update(theirs)


def _load(request: dict[str, Any]) -> Callable[..., Any]:
    """A function of a program by its name; `Solution.solve` is a method of a class that is made without arguments."""
    found = _execute(request, "program")
    for part in request["function"].split("."):
        found = getattr(found() if isinstance(found, type) else found, part)
    return found


def _lines(descriptor: int) -> Iterator[Any]:
    """The lines of JSON of a pipe, until it is closed."""
    for line in os.fdopen(descriptor, "rb"):
        yield json.loads(line)


def _reporter(descriptor: int) -> Callable[[dict[str, Any]], None]:
    """Writes lines of JSON. It binds the functions it needs, so that honest programs cannot break it by mistake."""
    dumps, write = json.JSONEncoder(ensure_ascii=True).encode, os.write

    def report(message: dict[str, Any]) -> None:
        rest = memoryview(dumps(message).encode() + b"\n")
        while rest:
            rest = rest[write(descriptor, rest) :]

    return report


def _failure(kind: str, error: BaseException) -> dict[str, Any]:
    try:
        text = str(error)[:500]
    except BaseException:
        text = ""
    return {kind: type(error).__name__[:80], "text": text}


def _end(code: int) -> NoReturn:
    """Python's shutdown without ending the process: threads, exit handlers, buffers."""
    try:
        vars(threading)["_shutdown"]()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.__stdout__):
            if stream is not None:
                stream.flush()
    finally:
        os._exit(code & 0xFF)
