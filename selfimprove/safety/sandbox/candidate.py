"""The process that runs one program. The program may change everything in here, so nothing here is trusted.

A request is one JSON object. Answers are lines of JSON on a separate pipe, one for each call, in order:
{"value": ...}, {"error": type, "text": ...} or, for a whole program that failed, {"failed": type, "text": ...}. Where
tests call a program, "after" has the arguments if the call changed them.
"""

from __future__ import annotations

import atexit
import builtins
import json
import os
import random
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from selfimprove.safety.sandbox import values


def run(request: dict[str, Any], answers: int, questions: int) -> NoReturn:
    """Run the program of a request and end the process.

    Args:
        answers: the descriptor for answers.
        questions: the descriptor for incoming calls, if tests call the program.
    """
    os.set_blocking(answers, True)  # whoever used the pipe before may have left it otherwise
    report = _reporter(answers)
    tempfile.tempdir = None
    random.seed(0)
    sys.argv = ["program.py"]
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(descriptor, mode, encoding="utf-8", errors="replace", closefd=False)
        for descriptor, mode in enumerate("rww")
    )
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    builtins.__dict__.update(exit=sys.exit, quit=sys.exit)  # as the module `site` would have done
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


def _script(request: dict[str, Any]) -> None:
    """A whole program, as `python program.py` would run it."""
    scope = _module("__main__").__dict__
    exec(compile(request["source"], "program.py", "exec", dont_inherit=True), scope)  # noqa: S102 - what this is for


def _calls(request: dict[str, Any], report: Callable[[dict[str, Any]], None], questions: int) -> None:
    """One function of a program, called once for each list of arguments."""
    function = _load(request["source"], request["function"])
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
            report(_failure("error", error))


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
        kind = getattr(builtins, reply["error"], RuntimeError)
        raise (kind if isinstance(kind, type) and issubclass(kind, Exception) else RuntimeError)(reply["text"])

    scope = _module("tests").__dict__
    scope["candidate"] = scope[request["function"]] = candidate
    exec(compile(request["setup"], "setup.py", "exec", dont_inherit=True), scope)  # noqa: S102
    for test in request["tests"]:
        scope["candidate"] = scope[request["function"]] = candidate
        try:
            exec(compile(test, "tests.py", "exec", dont_inherit=True), scope)  # noqa: S102
            report({"passed": True})
        except Exception as error:
            report({"passed": False, **_failure("error", error)})


def _take(pairs: Iterable[tuple[Any, Any]]) -> None:
    """Put what a call has left in its arguments into ours."""
    for ours, theirs in pairs:
        if isinstance(ours, list) and isinstance(theirs, list):
            ours[:] = theirs
        elif isinstance(ours, dict | set) and type(ours) is type(theirs):
            ours.clear()
            ours.update(theirs)


def _load(source: str, name: str) -> Callable[..., Any]:
    """A function of a program by its name; `Solution.solve` is a method of a class that is made without arguments."""
    module = _module("program")
    exec(compile(source, "program.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what this is for
    found: Any = module
    for part in name.split("."):
        found = getattr(found() if isinstance(found, type) else found, part)
    return found


def _module(name: str) -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module


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
