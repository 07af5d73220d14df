"""Records survive the disk, and their ids follow from their content."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from selfimprove.errors import DataError
from selfimprove.records import (
    KINDS,
    Cut,
    Document,
    Preference,
    Prompt,
    Record,
    Rollout,
    by_prompt,
    changed,
    digest,
    dumps,
    loads,
    read_records,
    write_records,
)

words = st.text(max_size=12)
messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": words}), min_size=1
)
lineage = {
    "source": words,
    "parents": st.lists(words, max_size=2).map(tuple),
    "info": st.dictionaries(words, st.none() | st.booleans() | st.integers() | words | st.lists(words, max_size=2)),
}
numbers = st.floats(allow_nan=False, allow_infinity=False)
documents = st.builds(Document, text=words, **lineage)
prompts = st.builds(Prompt, prompt=messages, answer=st.none() | words, key=words, **lineage)
rollouts = st.builds(
    Rollout,
    prompt=prompts,
    completion=messages,
    reward=st.none() | numbers,
    weight=numbers,
    logprobs=st.none() | st.fixed_dictionaries({"sum": numbers, "count": numbers}),
    **lineage,
)
preferences = st.builds(Preference, prompt=prompts, chosen=messages, rejected=messages, weight=numbers, **lineage)
records = st.one_of(documents, prompts, rollouts, preferences)


@given(records)
def test_a_record_is_one_line_and_comes_back_equal(record: Record) -> None:
    line = dumps(record)
    assert "\n" not in line and "\r" not in line
    back = loads(line)
    assert back == record and type(back) is type(record) and back.id == record.id


@given(st.lists(records, max_size=3))
@settings(max_examples=25)
def test_a_file_of_records_comes_back_equal(tmp_path: Path, made: list[Record]) -> None:
    path = tmp_path / "records.jsonl"
    write_records(path, made)
    assert read_records(path) == made
    assert path.read_bytes().count(b"\n") == len(made)


def test_line_ends_of_foreign_systems_stay_inside_a_text(tmp_path: Path) -> None:
    record = Document(text='a\r\nb\rc\x0bd\x0ce\x1cf\x85g\u2028h\u2029i\nj\ttab \\ " \x00 \ufeff end')
    write_records(tmp_path / "r.jsonl", [record, record])
    assert read_records(tmp_path / "r.jsonl") == [record, record]


@given(prompts)
def test_the_blind_prompt_keeps_the_problem_and_loses_answer_and_notes(prompt: Prompt) -> None:
    blind = prompt.blind()
    assert (blind.answer, blind.info) == (None, {})
    assert (blind.prompt, blind.key, blind.source, blind.parents) == (
        prompt.prompt,
        prompt.key,
        prompt.source,
        prompt.parents,
    )


def test_the_id_is_16_hex_digits_of_the_content() -> None:
    one, same = Document(text="a", info={"x": 1, "y": 2}), Document(text="a", info={"y": 2, "x": 1})
    content = {"source": "", "parents": [], "info": {"x": 1, "y": 2}, "text": "a"}
    assert one.id == same.id == digest(content)[:16]
    assert len(one.id) == 16 and int(one.id, 16) >= 0


@pytest.mark.parametrize(
    "change",
    [
        {"source": "other@1"},
        {"parents": ("p",)},
        {"info": {"level": 3}},
        {"reward": 1.0},
        {"weight": 2.0},
        {"completion": [{"role": "assistant", "content": "other"}]},
        {"prompt": Prompt(prompt=[{"role": "user", "content": "q"}], key="other")},
    ],
)
def test_any_change_of_content_changes_the_id(change: dict) -> None:
    rollout = Rollout(
        prompt=Prompt(prompt=[{"role": "user", "content": "q"}], key="q"),
        completion=[{"role": "assistant", "content": "a"}],
    )
    assert dataclasses.replace(rollout, **change).id != rollout.id


def test_ids_are_cached_but_not_carried_into_a_changed_copy() -> None:
    document = Document(text="a")
    before = document.id
    assert dataclasses.replace(document, text="b").id == Document(text="b").id != before == document.id


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_records_are_frozen(kind: type) -> None:
    values = {"text": "a", "prompt": [], "chosen": [], "rejected": [], "completion": []}
    record = kind(**{f.name: values[f.name] for f in dataclasses.fields(kind) if f.name in values})
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.source = "me"


def test_digest_is_the_sha256_of_canonical_json() -> None:
    assert digest({"b": 1, "a": [1, 2]}) == digest({"a": (1, 2), "b": 1})
    assert digest([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"  # sha256 of "[]"


def test_text_is_the_last_message_and_truncated_follows_the_finish_reason(make_rollout: Callable) -> None:
    talk = [{"role": "assistant", "content": "first"}, {"role": "assistant", "content": "last"}]
    rollout = dataclasses.replace(make_rollout(), completion=talk)
    assert rollout.text == "last" and not rollout.truncated and rollout.ended is True
    cut = make_rollout(info={"finish_reason": "length"})
    assert cut.truncated and cut.ended is False
    assert isinstance(cut.text, Cut) and cut.text == cut.completion[-1]["content"] and not isinstance(rollout.text, Cut)
    assert loads(dumps(cut)) == cut and isinstance(Preference.of(cut, rollout).sides[0].text, Cut)
    assert make_rollout(info={"finish_reason": "stop", "stop_token": "<eos>"}).ended == "<eos>"
    assert not make_rollout(info={"finish_reason": "stop"}).truncated


def test_a_pair_knows_how_its_sides_ended_and_says_nothing_of_the_usual_end(make_rollout: Callable) -> None:
    stop = make_rollout("a", info={"finish_reason": "stop"}, reward=1.0)
    cut = make_rollout("b", info={"finish_reason": "length", "turn": 2})
    other = make_rollout("c", info={"finish_reason": "stop", "stop_token": "<eos>"})
    undrawn = make_rollout("text that was not drawn")
    usual = Preference.of(stop, undrawn, source="here@1", info={"votes": 3})
    plain = Preference(prompt=stop.prompt, chosen=stop.completion, rejected=usual.rejected)
    assert usual == dataclasses.replace(plain, source="here@1", info={"votes": 3}, parents=(stop.id, undrawn.id))
    assert Preference.of(stop, undrawn, parents=("a",)).parents == ("a",)
    assert [side.ended for side in usual.sides] == [True, True]
    pair = Preference.of(other, cut, info={"votes": 3})
    assert pair.info == {
        "votes": 3,
        "chosen_info": {"finish_reason": "stop", "stop_token": "<eos>"},
        "rejected_info": {"finish_reason": "length"},
    }
    again = loads(dumps(pair))
    assert isinstance(again, Preference) and [side.ended for side in again.sides] == ["<eos>", False]
    assert [(side.prompt, side.text) for side in again.sides] == [(cut.prompt, "c"), (cut.prompt, "b")]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "not json",
        "5",
        "null",
        "[1]",
        "{}",
        '{"kind": "Nope"}',
        '{"kind": []}',
        '{"kind": "Prompt"}',
        '{"kind": "Prompt", "parents": null, "prompt": []}',
        '{"kind": "Document", "text": "a", "parents": [], "surprise": 1}',
        '{"kind": "Rollout", "prompt": {"prompt": []}, "parents": []}',
        '{"kind": "Document",\n "text": "a"',
    ],
)
def test_a_damaged_line_is_one_clear_error(line: str) -> None:
    with pytest.raises(DataError, match="not a record") as error:
        loads(line)
    assert "\n" not in str(error.value) and error.value.code == 65


@given(st.text(max_size=40))
def test_any_line_is_a_record_or_a_data_error(line: str) -> None:
    try:
        assert dumps(loads(line))
    except DataError as error:
        assert "\n" not in str(error)


@given(records, st.integers(min_value=0))
def test_a_line_that_was_cut_off_is_a_data_error(record: Record, cut: int) -> None:
    line = dumps(record)
    with pytest.raises(DataError):
        loads(line[: cut % len(line)])


def test_the_fields_are_those_of_the_trainers_datasets() -> None:
    fields = {name: {f.name for f in dataclasses.fields(kind)} for name, kind in KINDS.items()}
    assert {"text"} <= fields["Document"] and {"prompt"} <= fields["Prompt"]
    assert {"prompt", "completion"} <= fields["Rollout"] and {"prompt", "chosen", "rejected"} <= fields["Preference"]
    assert json.loads(dumps(Document(text="a")))["kind"] == "Document"


def test_rollouts_of_a_prompt_stand_together_in_the_order_in_which_they_come(make_rollout: Callable) -> None:
    said = [("a", "3+5"), ("b", "1+2"), ("c", "3+5"), ("d", "4+4"), ("e", "1+2")]
    groups = by_prompt(make_rollout(text, prompt=prompt) for text, prompt in said)
    assert [[one.text for one in group] for group in groups] == [["a", "c"], ["b", "e"], ["d"]]


@given(prompts, st.lists(rollouts, min_size=1, max_size=3), st.booleans())
@settings(max_examples=20)
def test_records_that_share_a_prompt_are_written_as_each_alone(
    tmp_path_factory: pytest.TempPathFactory, prompt: Prompt, some: list[Rollout], between: bool
) -> None:
    file, earlier = (tmp_path_factory.mktemp("records") / name for name in ("all.jsonl", "earlier.jsonl"))
    group: list[Record] = [dataclasses.replace(one, prompt=prompt) for one in some]
    written: list[Record] = [*group, *([prompt] if between else []), *group, *some]
    write_records(file, written)
    assert file.read_text(encoding="utf-8") == "".join(f"{dumps(one)}\n" for one in written)
    file.rename(earlier)
    write_records(file, group, after=earlier)
    assert read_records(file) == [*written, *group]


def test_lines_of_one_prompt_share_it_in_memory_and_those_of_another_do_not(tmp_path: Path) -> None:
    told = [{"n": 1}, {"n": 1}, {"n": True}, {"n": 1.0}, {"n": 1}]  # all of them equal, and each a text of its own
    asked = [Prompt(prompt=[{"role": "user", "content": "a"}], info=info) for info in told]
    answer: Any = [{"role": "assistant", "content": "b"}]
    file = tmp_path / "some.jsonl"
    write_records(file, [Rollout(prompt=one, completion=answer) for one in asked])
    read: list[Any] = read_records(file)
    assert [repr(one.prompt.info) for one in read] == [repr(info) for info in told]
    assert [one.prompt is read[0].prompt for one in read] == [True, True, False, False, False]
    assert "".join(f"{dumps(one)}\n" for one in read) == file.read_text()


def test_a_long_line_is_counted_before_it_is_parsed() -> None:
    line = '{"kind": "Document", "parents": [], "text": "a", "info": {"x": [' + "[]," * 1_000_001 + "1]}}"
    with pytest.raises(DataError, match="not a record: ValueError: it has more than 2,000,000 values"):
        loads(line)


@given(rollouts, words)
@settings(max_examples=20)
def test_a_changed_copy_is_what_replace_makes(rollout: Rollout, source: str) -> None:
    known = rollout.id
    made = changed(rollout, source=source, reward=None)
    assert made == dataclasses.replace(rollout, source=source, reward=None)
    assert made.id == dataclasses.replace(rollout, source=source, reward=None).id
    assert rollout.id == known
