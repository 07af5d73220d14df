"""What a run notes of its own draws."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from selfimprove.costs import Cost, counted
from selfimprove.inference.metered import Metered
from selfimprove.interfaces import GREEDY, Sampling
from selfimprove.loop.loop import Runner
from selfimprove.methods.engine.fake import Fake
from selfimprove.records import Checkpoint, Prompt


@pytest.mark.parametrize(("sampling", "drawn"), [(Sampling(), 2 * 3), (GREEDY, 2)])
def test_equal_prompts_count_once_and_greedy_samples_are_one(sampling: Sampling, drawn: int, quiet_log) -> None:
    prompts = [Prompt(prompt=[{"role": "user", "content": text}], key=text) for text in "abb"]
    with counted() as meter:
        groups = Metered(Fake({})).sample(Checkpoint(path="."), prompts, 3, sampling, 0, quiet_log)
        assert [len(group) for group in groups] == [3, 3, 3]
    tokens = sum((one.logprobs or {})["count"] for group in groups[:2] for one in group[: drawn // 2])
    assert meter.cost == Cost(completions=drawn, tokens=int(tokens))


@pytest.mark.long
def test_the_steps_of_a_run_note_what_they_drew(make_run: Callable) -> None:
    folder, log = make_run("rounds=1", "audit_problems=5", "audit_samples=4", "gate_problems=40", "probe_problems=0")
    Runner(folder, log).run()
    counts = {
        stage: json.loads((folder.step(1, stage) / "step.json").read_text())["counts"]
        for stage in ("acquisition", "evaluation", "audit", "gate")
    }
    assert counts["acquisition"]["completions"] >= counts["acquisition"]["records"] > 0
    assert counts["evaluation"]["completions"] == 2 * 40  # champion, who is the incumbent, and candidate
    assert counts["audit"]["completions"] == 5 * 4
    assert not {"completions", "drawn_tokens", "scored", "steps"} & counts["gate"].keys()
