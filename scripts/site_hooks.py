"""Hooks of the docs site: pages that lie outside docs/ join it, and links to files of the project lead to copies.

Pages read the same in the repository and on the site, so a link goes to a file, such as `../selfimprove/records.py`;
here it becomes a link to that file as text. The reference pages are made for the modules in `REFERENCE`. After the
build every page is searched for what a browser would fetch from elsewhere.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "recipes/README.md": "recipes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "AGENTS.md": "agents.md",
}
"""File of the project -> its page."""
PLACES = {page: name for name, page in OUTSIDE.items()}
REFERENCE = {
    "Stages of a round": "interfaces.stages",
    "Tasks": "interfaces.task",
    "Models": "interfaces.model",
    "Engines": "interfaces.engine",
    "Requests": "interfaces.requests",
    "Policies, contexts, sessions": "interfaces.policy",
    "Records": "records",
    "Rounds": "rounds",
    "Episodes": "episodes",
    "Needs": "needs",
    "Costs": "costs",
    "Bounds of options": "bounds",
    "Registry": "registry",
    "Errors": "errors",
}
"""Title -> module of the public interfaces."""
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video)\b[^>]*\ssrc=["'](?:https?:)?//|<link\b[^>]*\srel=["'](?:stylesheet|preload|preconnect|icon)["'][^>]*\shref=["'](?:https?:)?//"""
)


def on_config(config: Any) -> Any:
    """Add the reference to the navigation, and pages that it does not name yet."""
    own = [{title: f"reference/{module.replace('.', '_')}.md"} for title, module in REFERENCE.items()]
    named = set(re.findall(r"[\w/]+\.md", str(config.nav)))
    others = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in named)
    config.nav = [*config.nav, {"Python interfaces": own}, *([{"More": others}] if others else [])]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside, the reference, and the files that links lead to."""
    for name, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for title, module in REFERENCE.items():
        content = f"# {title}\n\n::: selfimprove.{module}\n"
        files.append(File.generated(config, f"reference/{module.replace('.', '_')}.md", content=content))
    pages = [(ROOT / name, page) for name, page in OUTSIDE.items()]
    pages += [
        (ROOT / "docs" / file.src_uri, file.src_uri)
        for file in files.documentation_pages()
        if file.generated_by is None
    ]
    for path in sorted({path for place, _ in pages for path in _linked(place)}):
        files.append(File.generated(config, _copied(path), content=path.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as they are on the site."""
    here = page.file.src_uri
    if here.startswith("reference/"):
        return markdown
    place = ROOT / PLACES[here] if here in PLACES else ROOT / "docs" / here

    def moved(found: re.Match[str]) -> str:
        before, target, after = found.groups()
        if "://" in target:
            return found[0]
        path = Path(os.path.normpath(place.parent / target))
        if path.is_dir():  # the site has no page for a folder
            return found[0] if not path.is_relative_to(ROOT) else f"{before}{_from(here, 'index.md')})"
        return f"{before}{_from(here, _page(path))}{after}"

    return LINK.sub(moved, markdown)


def on_post_build(config: Any) -> None:
    """Refuse a page that fetches something from elsewhere."""
    for path in Path(config.site_dir).rglob("*.html"):
        if found := FETCHED.search(path.read_text(encoding="utf-8")):
            raise PluginError(f"{path} fetches something from elsewhere: {found[0]}")


def _linked(place: Path) -> list[Path]:
    """The files of the project, outside of pages, that a page links to."""
    targets = (found[1] for found in LINK.findall(place.read_text(encoding="utf-8")) if "://" not in found[1])
    paths = [Path(os.path.normpath(place.parent / target)) for target in targets]
    return [path for path in paths if path.is_file() and _page(path) == _copied(path)]


def _page(path: Path) -> str:
    """The place of a file of the project on the site."""
    name = path.relative_to(ROOT).as_posix()
    if name in OUTSIDE:
        return OUTSIDE[name]
    return name.removeprefix("docs/") if name.startswith("docs/") else _copied(path)


def _copied(path: Path) -> str:
    return f"source/{path.relative_to(ROOT).as_posix()}.txt"


def _from(here: str, there: str) -> str:
    """A link from one page to another file, both as places on the site."""
    return Path(os.path.relpath(there, Path(here).parent)).as_posix()
