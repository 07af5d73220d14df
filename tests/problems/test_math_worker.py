"""The processes that compare expressions: what they find equal, and that none of them stops or answers another question."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from selfimprove.errors import EngineError
from selfimprove.problems import answers, math_worker
from selfimprove.problems.formula_reader import Unread, read


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("x^2-1", "(x-1)(x+1)", True),
        ("x^2-1", "(x-1)^2", False),
        (r"\sqrt{8}", r"2\sqrt{2}", True),
        (r"\frac{\pi}{4}", "0.785", False),
        (r"\sin^2 x+\cos^2 x", "1", True),
        (r"\sqrt{1/n}", r"\frac{1}{\sqrt{n}}", True),
        ("|x|", "x", False),
        (r"\sqrt{x^2}", "x", False),
        (r"\sin 30^\circ", r"\frac{1}{2}", True),
        (r"\log_2 8", "3", True),
        (r"\ln(ab)", r"\ln a+\ln b", True),
        ("2^{n+1}", r"2 \cdot 2^n", True),
        ("AB+CD", "CD+AB", True),
        ("AB+CD", "BA+CD", False),
        ("e^{-2000}", "e^{-2001}", False),
        (r"\sum_{k=1}^{3} k", "6", True),
        (r"n!", "(n-1)! n", True),
        ("x_1+x_2", "x_2+x_1", True),
        ("i^2", "-1", True),
    ],
)
def test_expressions_are_equal_by_their_values(left, right, same) -> None:
    assert math_worker.equal(left, right) is math_worker.equal(right, left) is same


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("x+y=2", "2x+2y-4=0", True),
        ("x+y=2", "x+y=3", False),
        ("y=x^2", "x^2-y=0", True),
        ("x=2", "y=2", False),
        ("x^2=4", "x^3=8", False),
    ],
)
def test_equations_are_equal_up_to_a_factor(left, right, same) -> None:
    assert math_worker.equation(left, right) is same


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        (r"2\pi r", "2*pi*r"),
        (r"\frac{\sqrt[3]{2}}{4}", "2**(1/3)/4"),
        ("-2^2", "-4"),
        (r"\sin 2x", "sin(2*x)"),
        (r"\cos^2\theta", "cos(theta)**2"),
        (r"|x-3|+1", "Abs(x - 3) + 1"),
        (r"\tan^{-1}(1)", "pi/4"),
        ("0.125x", "x/8"),
    ],
)
def test_formulas_are_read_exactly(text, read_as) -> None:
    assert str(read(text)) == read_as


@pytest.mark.parametrize("text", ["", "2 3", "x+", "(x", r"\vec{a}", "9^{9^{9^9}}", "x)", "(" * 60, "a|b", "{", "^2"])
def test_what_the_reader_does_not_know_is_left_to_others(text) -> None:
    with pytest.raises(Unread):
        read(text)


@pytest.fixture(scope="module")
def impatient():
    """One worker with little time for a question; the tests that follow share it, because a start takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(math_worker, "SECONDS", 0.5)
        patch.setattr(math_worker, "WORKERS", 1)
        math_worker.pool.cache_clear()
        yield
    math_worker.pool.cache_clear()


@pytest.fixture
def worker(impatient) -> subprocess.Popen[str]:
    """The worker as it stands, and a cache of answers that is empty before and after the test."""
    math_worker.ask.cache_clear()
    math_worker.ask("equal", "x", "y")
    yield running()
    math_worker.ask.cache_clear()


def running() -> subprocess.Popen[str]:
    """The only worker of this process."""
    [process] = math_worker.pool(os.getpid()).free.queue
    assert process is not None
    return process


@pytest.mark.runs
def test_a_question_without_end_counts_as_wrong_and_the_next_one_is_answered(worker) -> None:
    assert answers.mark("math", "3", "\\boxed{9^{9^{9^{9}}}}") == 0.0
    assert worker.wait(timeout=30) == -signal.SIGPROF
    assert answers.mark("math", "2x", "\\boxed{x+x}") == 1.0


@pytest.mark.long
def test_a_worker_that_something_else_ended_is_replaced(worker) -> None:
    worker.kill()
    worker.wait()
    assert math_worker.ask("equal", "2x", "x+x") is True
    assert running() is not worker


@pytest.mark.long
def test_an_interrupted_question_leaves_no_answer_for_the_next(worker, monkeypatch) -> None:
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "stdout", type("Pipe", (), {"readline": staticmethod(interrupt)}))
    with pytest.raises(KeyboardInterrupt):
        math_worker.ask("equal", "2x", "x+x")
    assert math_worker.ask("equal", "2x", "3x") is False
    assert worker.wait(timeout=30) == -signal.SIGKILL


@pytest.mark.long
def test_a_forked_process_has_a_worker_of_its_own(worker) -> None:
    child = os.fork()
    if child == 0:
        own = math_worker.ask("equal", "4x", "x+3x") is True and running().pid != worker.pid
        os._exit(0 if own else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert running() is worker
    assert math_worker.ask("equal", "4x", "5x") is False


@pytest.mark.long
def test_threads_get_their_own_answers_from_the_workers_they_share(worker) -> None:
    asked = [(f"{n}x+{m}x", f"{n + m}x") for n in range(1, 5) for m in range(1, 5)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda pair: math_worker.ask("equal", *pair), asked))
        wrong = list(threads.map(lambda pair: math_worker.ask("equal", pair[0], "0"), asked))
    assert found == [True] * 16 and wrong == [False] * 16 and running() is worker


def test_a_worker_ends_when_nobody_can_ask_it_any_more(worker) -> None:
    worker.stdin.close()
    assert worker.wait(timeout=30) == 0
    math_worker.pool.cache_clear()


def test_a_worker_that_cannot_start_is_an_engine_error(impatient, monkeypatch) -> None:
    math_worker.pool.cache_clear()
    monkeypatch.setattr(math_worker.sys, "executable", "/bin/false")
    with pytest.raises(EngineError, match="math_verify"):
        math_worker.ask("equal", "2x", "5x")
