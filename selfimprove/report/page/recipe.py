"""The section Recipe: what was run, how it differs from the shipped one, and how to do it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from selfimprove import registry
from selfimprove.errors import UserError
from selfimprove.loop.origin import as_begun, changed_values
from selfimprove.loop.provenance import TIERS
from selfimprove.recipe import compose, yaml_file
from selfimprove.report.page.facts import Facts
from selfimprove.report.page.markup import Html, details, table, tag, terms
from selfimprove.report.page.numbers import NONE

MOST = 80
"""Differences that are listed."""


def section(facts: Facts) -> Html:
    """Slots, differences, commands, and the whole recipe folded."""
    settings = facts.settings
    slots = [(slot, ", ".join(settings[slot] or ()) or NONE) for slot in registry.SLOTS if slot in settings]
    changed = changes(facts)
    file = facts.recipe if changed == [] else f"{facts.name}/recipe.yaml"
    again = f"selfimprove run {file} --seed {settings.get('seed', 0)}\nselfimprove verify {facts.name}"
    tier = TIERS.get(str(facts.began.get("tier")), "")
    champion = f"{facts.name}/champion"
    use = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f'model = AutoModelForCausalLM.from_pretrained("{champion}")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{champion}")'
    )
    whole = yaml_file.dump(placeless(dict(settings)))
    return tag(
        "section",
        tag("h2", "Recipe"),
        terms(slots),
        *_differences(facts, changed),
        tag("h3", "Do it again"),
        tag("pre", again),
        *([tag("p", f"Repeats: {tier}.", class_="meta")] if tier else []),
        tag("h3", "Use the champion"),
        tag("pre", use),
        details(f"The whole recipe, {whole.count(chr(10))} lines", tag("pre", whole)),
        id=facts.id("recipe"),
    )


def placeless(value: Any) -> Any:
    """A value without the folders of this machine: of a path only its last part."""
    if isinstance(value, Mapping):
        return {key: placeless(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [placeless(inner) for inner in value]
    if isinstance(value, str) and value.startswith(("/", "~")):
        return f".../{PurePath(value).name}"
    return value


def changes(facts: Facts) -> list[tuple[str, Any, Any]] | None:
    """(option, value of the shipped recipe of that name, value here), without the seed; None if it is not shipped."""
    try:
        if not (compose.shipped() / f"{facts.recipe}.yaml").is_file():
            return None
        chosen = [f"model={','.join(facts.settings['model'])}"] if facts.settings.get("model") else []
        own = as_begun(compose.load(facts.recipe, chosen)[1], facts.settings)
    except UserError:
        return None
    return [one for one in changed_values(own, dict(facts.settings)) if one[0] != "seed"]


def _differences(facts: Facts, changed: list[tuple[str, Any, Any]] | None) -> list[Html]:
    if changed is None:
        return []
    head = tag("h3", f"Differences from the shipped {facts.recipe}")
    if not changed:
        return [head, tag("p", "None but the seed.", class_="meta")]
    rows = [[place, *(_value(placeless(value)) for value in values)] for place, *values in changed[:MOST]]
    more = [tag("p", f"and {len(changed) - MOST} more", class_="meta")] if len(changed) > MOST else []
    return [head, table("Differences from the shipped recipe", ["option", "shipped", "here"], rows, left=3), *more]


def _value(value: Any) -> str:
    said = NONE if value is None else str(value)
    return said if len(said) <= 120 else f"{said[:120]} …"
