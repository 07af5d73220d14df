"""Text functions: what an answer is, which problems are the same, what the model is shown."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfimprove.inference.chat import completion_ids, completions_ids, end_of, ending, prompt_ids, prompts_ids
from selfimprove.problems.answers import choice, final_answer
from selfimprove.problems.splits import APART, SPLITS, folded, split_of
from selfimprove.records import Prompt
from selfimprove.safety.redaction import printable
from selfimprove.text import filled, ngrams, plain, prefilled, quoted, steps_of


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("2 + 2 = 4\n#### 4", "4"),
        ("first #### 3\nthen #### 5", "5"),
        ("####  1,234  ", "1,234"),
        (r"so \boxed{7}", "7"),
        (r"\boxed{1} and then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed {x^{2^{3}}} done", "x^{2^{3}}"),
        (r"#### 3 but \boxed{4}", "4"),
        (r"\boxed{open", None),
        (r"\boxed{2} and \boxed{open", "2"),
        ("The answer is 3.5.", "3.5"),
        ("The answer is 42. That was easy.", "42"),
        ("Final answer: 7", "7"),
        ("answer = -3", "-3"),
        ("The answer is 1.\nNo, the answer is 2.", "2"),
        ("nothing to see", None),
        ("", None),
    ],
)
def test_final_answer(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


def test_a_markdown_heading_is_not_an_answer() -> None:
    assert final_answer("### Step 1\nAdd.\n### Step 2\nThe answer is 5") == "5"


def test_the_word_answers_and_an_empty_answer_are_not_answers() -> None:
    assert final_answer("Both answers agree.") is None
    assert final_answer("I do not know what the answer is") is None


@given(
    st.text(alphabet="abc123+-/^{}", max_size=20).filter(lambda t: t.strip("{} ") and _balanced(t)),
    st.text(max_size=20),
)
def test_what_is_boxed_last_is_the_answer(inner: str, before: str) -> None:
    assert final_answer(before.replace("\\", "") + "\\boxed{" + inner + "} end") == inner.strip()


def _balanced(text: str) -> bool:
    depth = 0
    for c in text:
        depth += {"{": 1, "}": -1}.get(c, 0)
        if depth < 0:
            return False
    return depth == 0


@given(st.text(max_size=80))
def test_final_answer_takes_any_text(text: str) -> None:
    found = final_answer(text)
    assert found is None or found == found.strip()


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("(C)", "C"),
        ("I choose B", "B"),
        ("the answer is (D)", "D"),
        ("A or B? The answer is A.", "A"),
        ("a", "A"),
        ("a fine day", None),
    ],
)
def test_choice(text: str, letter: str | None) -> None:
    assert choice(text) == letter


def test_the_pronoun_is_not_a_choice() -> None:
    assert choice("A, I think") == "A"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("What  is\n2+2?", "what is 2+2?"),
        ("\uff12 + 2", "2 + 2"),  # full-width digit
        ("e\u0301te\u0301", "\u00e9t\u00e9"),  # combining accents
        ("STRASSE", "stra\u00dfe"),
        ("\u00a0a\u2003b ", "a b"),
    ],
)
def test_wordings_of_one_problem_share_the_key(left: str, right: str) -> None:
    assert folded(left) == folded(right)


@given(st.text())
def test_folding_is_idempotent(text: str) -> None:
    assert folded(folded(text)) == folded(text)


def test_other_problems_have_other_keys() -> None:
    assert folded("12+34") != folded("13+24")


@given(st.text())
def test_the_split_follows_from_the_sha256_of_the_key(key: str) -> None:
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest(), "big") % 1000
    expected = {
        bucket < 600: "train",
        600 <= bucket < 700: "selection",
        700 <= bucket < 850: "gate",
        850 <= bucket < 900: "audit",
        bucket >= 900: "sealed",
    }[True]
    assert split_of(key) == expected or APART in key
    assert split_of(f"{key}{APART}any") == split_of(key)


def test_split_shares_are_as_documented() -> None:
    counts = Counter(split_of(str(number)) for number in range(20_000))
    shares = {"train": 0.6, "selection": 0.1, "gate": 0.15, "audit": 0.05, "sealed": 0.1}
    assert counts.keys() == shares.keys() == SPLITS.keys()
    for split, share in shares.items():
        assert abs(counts[split] / 20_000 - share) < 4 * (share * (1 - share) / 20_000) ** 0.5


def test_ngrams() -> None:
    assert ngrams("a b c", 2) == [("a", "b"), ("b", "c")]
    assert ngrams("abc", 2) == [("a", "b"), ("b", "c")]
    assert ngrams("one", 4) == [] and ngrams("", 1) == []


@given(st.text(), st.integers(min_value=1, max_value=5))
def test_there_are_as_many_ngrams_as_places(text: str, n: int) -> None:
    units = text.split() if len(text.split()) > 1 else list(text)
    grams = ngrams(text, n)
    assert len(grams) == max(0, len(units) - n + 1)
    assert all(gram == tuple(units[i : i + n]) for i, gram in enumerate(grams))


@given(st.text(max_size=60))
def test_printable_text_cannot_steer_a_terminal(text: str) -> None:
    shown = printable(text)
    assert all(c in "\n\t" or unicodedata.category(c)[0] != "C" for c in shown)
    assert [c for c in text if c in shown] == list(shown)


def test_printable_drops_escape_sequences_and_keeps_words() -> None:
    assert printable("\x1b[31mred\x1b[0m\x07\r\n\tgr\u00fcn \u202eabc") == "[31mred[0m\n\tgr\u00fcn abc"


class Letters:
    """A tokenizer with one token per character; id 0 is the end token, id 1 the first token of every text."""

    eos_token_id = 0
    chat_template: str | None = None
    is_fast = False
    added_tokens_decoder: ClassVar[dict[int, Any]] = {}

    def __call__(self, texts: str | list[str], add_special_tokens: bool = True) -> dict[str, list]:
        rows = [[1] * add_special_tokens + [ord(c) for c in text] for text in texts]
        return {"input_ids": rows if isinstance(texts, list) else [1] * add_special_tokens + [ord(c) for c in texts]}

    def apply_chat_template(self, messages: list, **options: bool) -> Any:
        if options == {"tokenize": False}:
            return "".join(message["content"] for message in messages)
        assert options == {"add_generation_prompt": True, "return_dict": False}
        return [ord(c) for message in messages for c in f"<{message['role'][0]}>{message['content']}"] + [60]


def test_a_prompt_uses_the_chat_template_where_there_is_one() -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    bare, chat = Letters(), Letters()
    chat.chat_template = "some template"
    assert prompt_ids(bare, messages) == [1, *map(ord, "s\n\nu")]
    assert prompt_ids(chat, messages) == [*map(ord, "<s>s<u>u"), 60]


@pytest.mark.parametrize(
    ("talk", "text"),
    [
        ([], ""),
        (["u:S:3+5="], "S:3+5="),  # the tiny model's prompts, to the byte
        (["u:S:3+5=", "a:3+5=8"], "S:3+5=3+5=8"),
        (["s:End with a number.", "u:what is 2 + 2?"], "End with a number.\n\nwhat is 2 + 2?"),
        (["s:x", "u:y", "a:z"], "x\n\nyz"),
        (["u:y", "a:z", "u:again"], "y\n\nz\n\nagain"),
    ],
)
def test_without_a_template_a_prompt_is_its_messages_with_a_blank_line_between_them(talk: list[str], text: str) -> None:
    roles = {"s": "system", "u": "user", "a": "assistant"}
    messages = [{"role": roles[one[0]], "content": one[2:]} for one in talk]
    assert plain(messages) == text
    assert prompt_ids(Letters(), messages) == [1, *map(ord, text)]


def test_a_completion_that_has_begun_is_gone_on_with() -> None:
    from selfimprove.methods.model.tiny import _tokenizer

    tokenizer = _tokenizer()
    problem = Prompt(prompt=[{"role": "user", "content": "3+5+8="}], answer="6", key="3+5+8")
    assert prefilled(problem, "") == problem
    opened = prefilled(problem, "3+5=8;")
    assert (opened.answer, opened.key, opened.parents) == ("6", "3+5+8", (problem.id,))
    assert tokenizer.decode(prompt_ids(tokenizer, opened.prompt)) == "3+5+8=3+5=8;"
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role[0] }}]{{ m.content }}[/]{% endfor %}"
        "{% if add_generation_prompt %}[a]{% endif %}"
    )
    assert tokenizer.decode(prompt_ids(tokenizer, problem.prompt)) == "[u]3+5+8=[/][a]"
    assert tokenizer.decode(prompt_ids(tokenizer, opened.prompt)) == "[u]3+5+8=[/][a]3+5=8;"


BARE = "{% for m in messages %}[{{ m.role[0] }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[a]{% endif %}"


@pytest.mark.parametrize(
    ("template", "head"),
    [
        (BARE, "[s]be brief[u]3+5"),
        ("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + BARE, "[u]be brief\n\n3+5"),
        (BARE.replace("messages %}", "messages if m.role != 'system' %}"), "[u]be brief\n\n3+5"),
    ],
    ids=["taken", "refused", "left out"],
)
def test_a_system_message_that_a_template_has_no_place_for_stands_before_the_first_question(
    template: str, head: str
) -> None:
    """Gemma's template refuses it; one that only knows the other roles loses it without a word."""
    from selfimprove.methods.model.tiny import _tokenizer

    tokenizer = _tokenizer()
    tokenizer.chat_template = template
    spoken = (("system", "be brief"), ("user", "3+5"), ("assistant", "8"))
    system, user, said = ({"role": role, "content": text} for role, text in spoken)
    talks = [[system, user], [user], [system, user, said, user], [system, user, said]]
    read = [tokenizer.decode(ids) for ids in prompts_ids(tokenizer, talks)]
    assert read == [f"{head}[a]", "[u]3+5[a]", f"{head}[a]8[u]3+5[a]", f"{head}[a]8"]


@pytest.mark.parametrize("beginning", ["step 1\n", "\n", " 3+5", "3+5=8;\n\n"])
@pytest.mark.parametrize("thought", ["", "<think></think>"])
def test_what_has_begun_keeps_its_white_space_and_no_thought_is_put_before_it(beginning: str, thought: str) -> None:
    """Llama 3 and Gemma trim each message; Qwen3 writes an empty thought before the last one."""
    from selfimprove.methods.model.tiny import _tokenizer

    tokenizer = _tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m.role[0] }}]{% if m.role == 'assistant' %}THOUGHT{% endif %}"
        "{{ m.content | trim }}[/]{% endfor %}{% if add_generation_prompt %}[a]{% endif %}"
    ).replace("THOUGHT", thought)
    problem = Prompt(prompt=[{"role": "user", "content": "3+5+8="}], key="3+5+8")
    ids = prompt_ids(tokenizer, prefilled(problem, beginning).prompt)
    assert ids == prompt_ids(tokenizer, problem.prompt) + tokenizer(beginning)["input_ids"]
    assert tokenizer.decode(ids) == "[u]3+5+8=[/][a]" + beginning


@given(st.text(alphabet="ab;", max_size=12))
def test_steps_are_the_text_cut_behind_each_separator(text: str) -> None:
    steps = steps_of(text, ";")
    assert "".join(steps) == text and all(";" not in step[:-1] for step in steps) and all(steps)


def test_the_steps_of_a_chain_by_hand() -> None:
    assert steps_of("3+5=8;8+8=6#6", ";") == ["3+5=8;", "8+8=6#6"]
    assert steps_of("one\n\ntwo\n\n", "\n\n") == ["one\n\n", "two\n\n"] and steps_of("", ";") == []


def test_a_problem_as_it_is_quoted() -> None:
    system, user = {"role": "system", "content": "s"}, {"role": "user", "content": "q"}
    assert quoted([system, user]) == "q"
    assert quoted([user, {"role": "assistant", "content": "a"}, user]) == "user: q\nassistant: a\nuser: q"


def test_a_completion_has_no_template_and_ends_with_the_end_token_unless_it_was_cut_off() -> None:
    chat = Letters()
    chat.chat_template = "some template"
    completion = [{"role": "assistant", "content": "ab"}]
    assert completion_ids(chat, completion) == [97, 98, 0]
    assert completion_ids(chat, completion, ended=False) == [97, 98]


@pytest.mark.parametrize(
    ("template", "end"),
    [
        ("", "<eos>"),
        ("{% for m in messages %}<{{ m.role }}>{{ m.content }}~\n{% endfor %}", "~"),  # Gemma, ChatML
        ("{% for m in messages %}{{ m.content | trim }} ~{% endfor %}<eos>", "~"),  # Llama 2, Phi
        ("{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}", "<eos>"),  # DeepSeek
        ("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}", "<eos>"),  # GLM-4 marks no end
        ("{% for m in messages %}{{ m.content }}\n\n{% endfor %}", "<eos>"),
        ("{% for m in messages %}~{{ m.content }}; over.{% endfor %}", "<eos>"),  # words are no end token
        ("{% for m in messages[:1] %}{{ m.content }}~{% endfor %}", "<eos>"),
        ("{{ raise_exception('no assistant') }}", "<eos>"),
    ],
)
def test_the_token_that_ends_a_turn_is_what_the_template_puts_after_the_assistant(template: str, end: str) -> None:
    from selfimprove.methods.model.tiny import _tokenizer

    tokenizer = _tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["~"]})
    tokenizer.chat_template = template or None
    assert tokenizer.convert_ids_to_tokens(end_of(tokenizer)) == end
    usual, completion = end_of(tokenizer), [{"role": "assistant", "content": "8"}]
    drawn = {"<eos>": tokenizer.eos_token_id, "~": tokenizer.convert_tokens_to_ids("~")}
    for token, last in drawn.items():
        info = {"finish_reason": "stop"} | ({} if token == end else {"stop_token": token})
        assert ending(tokenizer, usual, last) == info
        assert completion_ids(tokenizer, completion, info.get("stop_token", True))[-1] == last
    assert ending(tokenizer, usual, None) == {"finish_reason": "length"}
    assert completion_ids(tokenizer, completion, "<|of another model|>")[-1] == usual


@pytest.mark.parametrize("template", [None, "some template"])
def test_many_at_once_are_the_same_as_one_by_one(template: str | None) -> None:
    tokenizer = Letters()
    tokenizer.chat_template = template
    talks = [[{"role": "user", "content": text}] for text in ("", "a", "bc", "a")]
    assert prompts_ids(tokenizer, talks) == [prompt_ids(tokenizer, talk) for talk in talks]
    ended = [True, False, True, True]
    one_by_one = [completion_ids(tokenizer, talk, end) for talk, end in zip(talks, ended, strict=True)]
    assert completions_ids(tokenizer, talks, ended) == one_by_one
    assert prompts_ids(tokenizer, []) == completions_ids(tokenizer, [], []) == []


@given(st.text(alphabet="{}01problem ", max_size=30), st.text(alphabet="{}01problem ", max_size=30))
def test_what_is_filled_into_a_text_is_never_read_as_its_fields(problem: str, part: str) -> None:
    assert filled("{x} {0}|{problem}|{0} {}", part, problem=problem) == f"{{x}} {part}|{problem}|{part} {{}}"
