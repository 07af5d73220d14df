"""What `selfimprove` alone prints: the commands in the order in which a person needs them."""

from __future__ import annotations

from collections.abc import Collection

INTRO = "Self-improving language models: every published loop is a recipe of 25 lines."
GROUPS = (
    (
        "start here",
        (
            ("demo", "a gain, a refusal, a leak that is caught"),
            ("run quickstart", "a tiny model improves itself; next: report"),
            ("recipes", "what is shipped, by what it needs; next: show"),
            ("init", "a recipe for your model and data; next: check"),
        ),
    ),
    (
        "a run",
        (
            ("check, diagnose, refine", "before: does it fit, is there anything to gain"),
            ("select", "before: the rows of a data file to train on"),
            ("run, resume, status", "while it runs"),
            ("report, samples, why, blame", "after: what came out, and why"),
            ("eval, compare, replay", "measure, compare and change it"),
            ("verify, mark, prune", "check what is on the disk; make room"),
            ("export, serve, track", "use the champion; a dashboard for the run"),
        ),
    ),
    (
        "look things up",
        (
            ("list SLOT, show SLOT METHOD", "the methods that a recipe can name"),
            ("show RECIPE", "a recipe as it is written"),
        ),
    ),
    (
        "the machine",
        (("doctor, selftest", "what is installed, what holds"), ("bench, chaos", "rank recipes; kill a run at random")),
    ),
)
"""Head of a group -> its lines: commands, and what they are for."""
END = "selfimprove COMMAND --help for the options of a command; selfimprove --version"


def first_screen(commands: Collection[str]) -> str:
    """The first screen, with those of its commands that exist; those it does not know stand in a line at the end."""
    lines, known = [INTRO], set[str]()
    for head, rows in GROUPS:
        lines += ["", head]
        for words, what in rows:
            parts = [part for part in words.split(", ") if part.split()[0] in commands]
            known |= {part.split()[0] for part in parts}
            lines += [f"  {', '.join(parts):<27}  {what}"] if parts else []
    more = sorted(set(commands) - known)
    lines += ["", "more", f"  {', '.join(more)}"] if more else []
    return "\n".join([*lines, "", END])
