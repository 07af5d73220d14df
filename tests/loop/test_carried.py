"""What goes from round to round is worked out once, and again from where a step was made anew."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from selfimprove.loop.carried import Carried, Gathered


def test_a_value_is_worked_out_from_the_one_before_and_only_once() -> None:
    asked, touched = list[int](), list[int]()

    def add(before: int, past: int) -> int:
        asked.append(past)
        return before + 10**past

    carried = Carried(0, add, touched)
    assert carried.at(2) == 11 and carried.at(3) == 111 and carried.at(1) == 1
    assert asked == [0, 1, 2]
    touched.append(1)  # what comes before round 1 is as it was
    assert carried.at(1) == 1 and asked == [0, 1, 2]
    assert carried.at(3) == 111 and asked == [0, 1, 2, 1, 2]


Steps = st.lists(st.tuples(st.sampled_from(["ask", "change"]), st.integers(0, 5)), max_size=20)


@given(steps=Steps)
def test_whatever_changes_when_it_is_what_all_rounds_before_come_to(steps: list[tuple[str, int]]) -> None:
    has, touched = {number: {f"{number}"} for number in range(6)}, list[int]()
    joined = Carried("", lambda before, past: before + ",".join(sorted(has[past])) + ";", touched)
    gathered = Gathered(lambda past: has[past], touched)
    for number, (kind, round_) in enumerate(steps):
        if kind == "change":
            has[round_] = {f"{round_}", f"changed {number}", "shared"} if number % 2 else {f"{round_}"}
            touched.append(round_)
            continue
        assert joined.at(round_) == "".join(",".join(sorted(has[past])) + ";" for past in range(round_))
        before = set[str]().union(*(has[past] for past in range(round_)))
        for one in {*before, *set[str]().union(*has.values())}:
            assert gathered.before(round_, one) == (one in before)
