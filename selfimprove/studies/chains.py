"""The refinements that are compared: `self_consistency`, `revise+self_consistency`, `best_of_n:samples=4/16`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from selfimprove import registry
from selfimprove.errors import RecipeError


@dataclass(frozen=True)
class Chain:
    """Refinements in order, with options; the last one answers."""

    name: str
    methods: tuple[str, ...]
    options: Mapping[str, str]
    """`refinement.METHOD.OPTION` -> the value as it is typed."""

    def overrides(self, given: Sequence[str]) -> list[str]:
        """The changes to a recipe that make it answer so; of the options that were given, those of these methods."""
        own = {
            key: value for key, _, value in (one.partition("=") for one in given) if key.split(".")[1] in self.methods
        }
        chosen = f"refinement=[{','.join(self.methods)}]"
        return [chosen, *(f"{key}={value}" for key, value in {**own, **self.options}.items())]


def chains(texts: Sequence[str]) -> list[Chain]:
    """The chains that texts name, in order; several values of an option, with `/` between them, make a chain each.

    Raises:
        RecipeError: there is no such method, or a text cannot be read.
    """
    made = [chain for text in texts for chain in _read(text)]
    twice = [chain.name for place, chain in enumerate(made) if chain.name in {one.name for one in made[:place]}]
    if twice:
        raise RecipeError(f"--methods names {twice[0]} twice")
    return made


def _read(text: str) -> Iterator[Chain]:
    methods, choices = list[str](), dict[str, list[str]]()
    for part in text.split("+"):
        name, *options = part.strip().split(":")
        registry.find("refinement", name)
        methods.append(name)
        for option in options:
            key, found, values = option.partition("=")
            if not found or not values:
                raise RecipeError(f"--methods: cannot read {option!r} in {text!r}; write {name}:option=value")
            choices[f"{name}:{key}"] = values.split("/")
    if len(set(methods)) < len(methods):
        raise RecipeError(f"--methods: {text} has a method twice; a chain can have each once")
    for values in itertools.product(*choices.values()):
        said = dict(zip(choices, values, strict=True))
        named = [
            "".join([name, *(f":{_option(key)}={said[key]}" for key in said if _of(key) == name)]) for name in methods
        ]
        options = {f"refinement.{_of(key)}.{_option(key)}": value for key, value in said.items()}
        yield Chain("+".join(named), tuple(methods), options)


def _of(key: str) -> str:
    return key.partition(":")[0]


def _option(key: str) -> str:
    return key.partition(":")[2]
