"""Write the tables of commands, methods and recipes into README.md, docs/ and recipes/README.md.

They come from the command line, the registry and the recipe files.

A table stands between the lines `<!-- NAME -->` and `<!-- /NAME -->`. With --check nothing is written, and the exit
code is 1 if a table is not up to date.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import commands_table
import yaml

from selfimprove import registry
from selfimprove.recipe import compose, shelf

ROOT = Path(__file__).resolve().parents[1]
SURVEY = Path(__file__).with_name("survey_table6.yaml")
FAMILIES = Path(__file__).with_name("survey_section5.yaml")
ENTRIES = Path(__file__).with_name("survey_sections2_3.yaml")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a table is not up to date")
    options = parser.parse_args()
    stale = []
    for path, blocks in tables().items():
        before = path.read_text(encoding="utf-8")
        after = before
        for name, table in blocks.items():
            after = fill(after, name, table)
        if after != before:
            stale.append(str(path.relative_to(ROOT)))
            if not options.check:
                path.write_text(after, encoding="utf-8")
    if options.check and stale:
        sys.exit(f"not up to date: {', '.join(stale)}. Run: python scripts/methods_table.py")


def tables() -> dict[Path, dict[str, str]]:
    """File -> name of a block -> what stands in it."""
    registry.discover()
    return {
        ROOT / "README.md": {"commands": table(("command", "what it does"), commands_table.short("docs/commands.md"))},
        ROOT / "docs" / "commands.md": {"commands": commands_table.long(table)},
        ROOT / "docs" / "methods.md": {"methods": methods(), "families": families()},
        ROOT / "docs" / "acquisition.md": {"acquisition": entries("A"), "selection": entries("S")},
        ROOT / "recipes" / "README.md": {"index": index(), "survey": survey(), "recipes": long_recipes()},
    }


def fill(text: str, name: str, content: str) -> str:
    """The text with new content between the markers of a block; ends the program where there are no markers."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        sys.exit(f"there are no markers <!-- {name} --> and <!-- /{name} -->")
    return pattern.sub(lambda found: f"{found[1]}\n{content.strip()}\n\n{found[2]}", text)


def methods() -> str:
    """One row for each registered method of this package."""
    rows = []
    for slot in registry.SLOTS:
        for name in registry.names(slot):
            entry = registry.find(slot, name)
            file = entry.method.__module__.removeprefix("selfimprove.").replace(".", "/") + ".py"
            if entry.method.__module__.startswith("selfimprove."):
                rows.append((slot, f"[`{name}`](../selfimprove/{file})", registry.summary(entry), paper(entry.paper)))
    return table(("slot", "method", "what it does", "paper"), rows)


def families() -> str:
    """The families of the survey's sections on inference, with the methods here that are of each."""
    rows = []
    for line in yaml.safe_load(FAMILIES.read_text(encoding="utf-8")):
        told = ", ".join(linked(name) for name in line["methods"])
        rows.append((str(line["section"]), line["family"], told, line.get("missing", "")))
    return table(("section", "family", "here", "what is not, and why"), rows)


def entries(letter: str) -> str:
    """The entries of the survey's section 2 (A) or 3 (S), with the methods here that are of each."""
    slot, rows = {"A": "acquisition", "S": "selection"}[letter], list[tuple[str, ...]]()
    for line in yaml.safe_load(ENTRIES.read_text(encoding="utf-8")):
        if line["entry"].startswith(letter):
            found = here(line, slot)
            why = line.get("missing", "") if found else line.get("instead", "")
            told = ", ".join(linked(name, slot) for name in found) or "none"
            rows.append((line["entry"], line["what"], told, why))
    return table(("entry", "what", "here", "what is not, and why"), rows)


def here(line: dict[str, Any], slot: str) -> list[str]:
    """The methods of an entry whose files exist."""
    folder = ROOT / "selfimprove" / "methods"
    return [name for name in line["methods"] if (folder / f"{placed(name, slot)}.py").exists()]


def placed(name: str, slot: str) -> str:
    """The place of a method: `NAME` is one of the slot, `SLOT NAME` another."""
    other, _, short = name.rpartition(" ")
    return f"{other or slot}/{short}"


def linked(name: str, slot: str = "refinement") -> str:
    """A method with a link to its file."""
    return f"[`{name}`](../selfimprove/methods/{placed(name, slot)}.py)"


def index() -> str:
    """One row for each shipped recipe: its name, its title and its paper."""
    rows = [(f"[`{path.stem}`]({path.name})", *titled(path)) for path in shipped()]
    return table(("recipe", "what it is", "paper"), rows)


def long_recipes() -> str:
    """A section for each shipped recipe: what its header says, its stages, and what the tiny model changes."""
    return "".join(section(path) for path in shipped())


def survey() -> str:
    """Each row of the survey's Table 6 with the recipes of its paper, or with what is missing for one."""
    rows = []
    for line in yaml.safe_load(SURVEY.read_text(encoding="utf-8")):
        found = [f"[`{path.stem}`]({path.name})" for path in recipes_of(line)]
        told = ", ".join(found) or f"none: {line.get('missing', '')}"
        said = f"{line['optimization']}, by {line['optimizer']}" if line.get("optimizer") else line["optimization"]
        rows.append((line["method"], paper(line["paper"]), line["generation"], line["reward"], said, used(line), told))
    return table(("method", "paper", "generation", "reward", "optimization", "here", "recipe"), rows)


def used(line: dict[str, str]) -> str:
    """The optimizations that the recipes of a row really use; recipes with the same ones stand together."""
    by_chain: dict[str, list[str]] = {}
    for path in recipes_of(line):
        lines = yaml.safe_load(path.read_text(encoding="utf-8"))["defaults"]
        [names] = [line["optimization"] for line in lines if "optimization" in line]
        chain = " + ".join(f"`{name}`" for name in ([names] if isinstance(names, str) else names))
        by_chain.setdefault(chain, []).append(path.stem)
    several = len(by_chain) > 1
    return ", ".join(f"{chain} ({', '.join(names)})" if several else chain for chain, names in by_chain.items()) or "-"


def recipes_of(line: dict[str, str]) -> list[Path]:
    """The shipped recipes that name the paper of a row of the survey, or that the row names itself."""
    papers = {path: re.findall(r"arXiv:(\d{4}\.\d{5})", shelf.header(path)) for path in shipped()}
    return [path for path, found in papers.items() if line["paper"] in found or path.stem == line.get("recipe")]


def section(path: Path) -> str:
    """The section of one recipe."""
    recipe, _ = compose.load(path)
    stages = [(slot, ", ".join(f"`{name}`" for name in getattr(recipe, slot)) or "-") for slot in registry.SLOTS]
    rounds = f"`selfimprove run {path.stem}`: {recipe.rounds} {'round' if recipe.rounds == 1 else 'rounds'}"
    text = f"## {path.stem}\n\n{shelf.header(path)}\n\n{rounds} on the tiny model.\n\n"
    return f"{text}{table(('slot', 'methods'), stages)}\n"


def shipped() -> list[Path]:
    """The recipe files, the quickstart first."""
    return shelf.files_in(ROOT / "recipes")


def titled(path: Path) -> tuple[str, str]:
    """The title of a recipe and a link to its paper."""
    what, identifier = shelf.title(path)
    return what, paper(identifier)


def paper(identifier: str) -> str:
    """A link to a paper."""
    return f"[{identifier}](https://arxiv.org/abs/{identifier})" if identifier else ""


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
