"""The section Samples: what was learned and lost, in the model's own words, and what it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from selfimprove.records import Prompt, Rollout
from selfimprove.report.makers import named
from selfimprove.report.page.facts import Facts
from selfimprove.report.page.markup import Html, joined, tag
from selfimprove.report.page.numbers import TIMES, count
from selfimprove.report.samples.drawn import Answer, Drawn, Rule, drawn
from selfimprove.report.samples.pairs import GROUPS, Compared, Pair, compared
from selfimprove.report.samples.rule import rule_of
from selfimprove.report.samples.spoken import asked, fork, said

ROUNDS = 12
"""Most rounds with samples: the first, the last, and some between."""
EACH = {"gained": 6, "lost": 6, "wrong": 4, "right": 3}
"""Problems of each group."""
TRAINED, FOLDED = 5, 8
"""Problems of a round's training data, and completions of each."""
LONGEST = 600
"""Characters of a text; 300 where there are many rounds."""
NAMES = {"gained": "▲ gained", "lost": "▼ lost", "wrong": "both wrong", "right": "both right", "trained": "trained on"}


def section(facts: Facts) -> Html:
    """Rounds and groups to choose from with radio buttons; what is not chosen is hidden by the style sheet alone."""
    numbers = chosen([line["round"] for line in facts.rounds])
    rule, sets = rule_of(facts.settings), list[Html]()
    longest = LONGEST if len(numbers) <= 6 else LONGEST // 2
    for number in numbers:
        sets += _round(facts, number, rule, longest)
    lead = (
        "What the model says before and after. Gate problems are used for one decision of this run and not again, so "
        "they can be shown; with a finite data file another run can draw them again. ",
        tag("b", "Sealed problems are not shown"),
        ": who reads them and then changes the recipe has used them.",
    )
    picks = tag(
        "div",
        _pick(facts, "Round", "rn", [(f"r{number}", str(number)) for number in numbers], len(numbers) - 1),
        _pick(facts, "Show", "kd", [(f"k-{kind}", name) for kind, name in NAMES.items()], 0),
        class_="pick",
    )
    return tag(
        "section",
        tag("h2", "Samples"),
        tag("p", *lead, class_="lead"),
        tag("style", _rules(facts, numbers)),
        picks,
        *sets,
        id=facts.id("samples"),
    )


def chosen(numbers: Sequence[int]) -> list[int]:
    """The rounds with samples: all of a few; of many the first, the last and some between, evenly apart."""
    if len(numbers) <= ROUNDS:
        return list(numbers)
    return sorted({numbers[round(place * (len(numbers) - 1) / (ROUNDS - 1))] for place in range(ROUNDS)})


def _pick(facts: Facts, legend: str, name: str, options: Sequence[tuple[str, str]], first: int) -> Html:
    parts = [
        joined(
            [
                tag("input", type="radio", name=facts.id(name), id=facts.id(key), checked=place == first),
                tag("label", said, for_=facts.id(key)),
            ]
        )
        for place, (key, said) in enumerate(options)
    ]
    return tag("fieldset", tag("legend", legend), *parts)


def _rules(facts: Facts, numbers: Sequence[int]) -> Html:
    """A rule for each pair of buttons. A browser without :has() shows all samples."""
    rules = [
        f"#{facts.id('samples')}:has(#{facts.id(f'r{number}')}:checked):has(#{facts.id(f'k-{kind}')}:checked) "
        f".r{number}.k-{kind}{{display:block}}"
        for number in numbers
        for kind in NAMES
    ]
    return Html("@supports selector(:has(*)){" + "\n".join(rules) + "}")


def _round(facts: Facts, number: int, rule: Rule, longest: int) -> Iterator[Html]:
    made = next(made for line, made in zip(facts.lines, facts.makers, strict=True) if line["round"] == number)
    found = compared(facts.run, number)
    for group, most in EACH.items():
        pairs = list(found.pairs(group, most)) if found else []
        articles = [_pair(pair, named(made.champion), number, longest) for pair in pairs]
        yield _set(number, group, articles, _counted(found, group, len(pairs)))
    groups = list(islice((one for one in drawn(facts.run, number) if one.kept), TRAINED))
    yield _set(
        number,
        "trained",
        [_drawn(one, rule, longest) for one in groups],
        f"{len(groups)} problems, the first in the file of which something was kept",
    )


def _set(number: int, kind: str, articles: Sequence[Html], counted: str) -> Html:
    head = tag("h4", f"Round {number}: {NAMES[kind]} ", tag("small", counted))
    return tag("div", head, *(articles or [tag("p", "None.", class_="meta")]), class_=f"set r{number} k-{kind}")


def _counted(found: Compared | None, group: str, n: int) -> str:
    if found is None:
        return "no decision with scores"
    of = len(found.keys[group])
    return f"{n} of {count(of)}, the first in the file" if of > n else f"all {of}" if of else ""


def _question(problem: Prompt, longest: int) -> Html:
    answer = [] if problem.answer is None else ["answer ", tag("b", _cut(problem.answer, 80))]
    level = f"{', ' if answer else ''}level {problem.info['level']}" if "level" in problem.info else ""
    return tag(
        "p", tag("code", _cut(asked(problem.prompt), longest)), tag("span", *answer, level, class_="meta"), class_="q"
    )


def _pair(pair: Pair, champion: str, number: int, longest: int) -> Html:
    texts = [said(one.completion) for one in (pair.champion, pair.candidate)]
    where = fork(*texts)
    solved = GROUPS[pair.group]
    who = (("champion", champion), ("candidate", f"round {number}"))
    rows = [
        joined(
            [
                tag("dt", name, " ", tag("i", f"({maker})")),
                tag("dd", tag("code", *_marked(text, where, longest)), " ", _mark(right), _ended(rollout)),
            ]
        )
        for (name, maker), text, right, rollout in zip(who, texts, solved, (pair.champion, pair.candidate), strict=True)
    ]
    return tag("article", _question(pair.problem, longest), tag("dl", *rows), class_="smp")


def _marked(text: str, where: int, longest: int) -> list[str]:
    """A text with its end marked, from where it differs; of a long one the part around that place."""
    begin = max(0, min(where - longest // 2, len(text) - longest)) if len(text) > longest else 0
    before = f"… {begin} characters …" if begin else ""
    after = f"… {len(text) - begin - longest} more characters" if len(text) - begin > longest else ""
    shown = text[begin : begin + longest]
    cut = min(max(0, where - begin), len(shown))
    rest = [tag("mark", shown[cut:])] if cut < len(shown) else []
    return [before, shown[:cut], *rest, after]


def _mark(right: bool) -> Html:
    return tag("b", "✓ right" if right else "✗ wrong", class_="ok" if right else "no")


def _ended(rollout: Rollout) -> Html:
    return tag("span", " cut off", class_="mut") if rollout.truncated else Html("")


def _drawn(group: Drawn, rule: Rule, longest: int) -> Html:
    lines = [_answer(answer, rule, longest) for answer in group.answers[:FOLDED]]
    if len(group.answers) > FOLDED:
        lines.append(tag("li", f"and {len(group.answers) - FOLDED} other completions", class_="mut"))
    return tag("article", _question(group.problem, longest), tag("ul", *lines, class_="roll"), class_="smp")


def _answer(answer: Answer, rule: Rule, longest: int) -> Html:
    right, reward = rule(answer.rollout), answer.rollout.reward
    told: str = tag("span", "no reward" if reward is None else f"reward {reward:.3g}", class_="mut")
    if answer.use in ("kept", "chosen"):
        wrong = right is False
        told = tag("b", f"{answer.use}, BUT WRONG" if wrong else f"{answer.use}", class_="no" if wrong else "ok")
    elif answer.use:
        told = tag("span", answer.use, class_="mut")
    elif right:
        told = joined([told, tag("span", ", dropped though right", class_="mut")])
    return tag(
        "li", f"{TIMES}{answer.times} ", tag("code", _cut(answer.text, longest)), " ", told, _ended(answer.rollout)
    )


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]} … {len(text) - longest} more characters"
