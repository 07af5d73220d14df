"""One page on a model folder: what its files and its chat template say, and what will not work: `doctor --model`.

The folder is checked as before a run. Then it is loaded, and `model_trials` measures what no file tells.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, MissingError, UserError
from selfimprove.inference import memory
from selfimprove.inference.chat import end_of, prompts_ids
from selfimprove.inference.forms import Tags
from selfimprove.inference.harmony import Channels
from selfimprove.inference.templates import asks_for_date, template_of
from selfimprove.inference.thinking import form_of
from selfimprove.inference.weights import context_of, ends_of, load
from selfimprove.problems.jsonl_rows import lines
from selfimprove.safety.model_files import check_folder
from selfimprove.studies import model_trials

GIVEN = ("messages", "tools", "documents", "add_generation_prompt", "bos_token", "eos_token", "pad_token", "unk_token")
"""What `apply_chat_template` gives every template: not arguments of a user's."""
WORDS = 200_000
"""Words of a data file that are tokenized at most."""
LIMIT = 512
"""Tokens per completion, the engine's default."""


@dataclass
class Page:
    """What is found, by section; and what to do about what will not work."""

    folder: str
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    trouble: list[dict[str, str]] = field(default_factory=list)
    """Each with `what` will not work, and what to `do`."""

    def wrong(self, what: str, do: str) -> None:
        """Add something that will not work."""
        self.trouble.append({"what": what, "do": do})


def page_of(
    folder: Path,
    data: Path | None,
    dtype: str,
    tell: Callable[[str], None],
    clock: Callable[[], float] = time.perf_counter,
) -> Page:
    """Everything about a model folder, as far as it can be loaded.

    Args:
        data: JSON lines or plain text to count tokens in; its first texts are also the prompts of the trials.
        dtype: in which the model is run; `auto` is that of its weights.
        tell: is told what is being done.
        clock: see `model_trials.speed`.

    Raises:
        MissingError: the folder or the file does not exist.
    """
    if not folder.is_dir():
        raise MissingError(f"--model: there is no folder {str(folder)!r}")
    texts = [*texts_of(data)] if data else []
    page = Page(str(folder))
    try:
        tell("reading the files")
        check_folder(folder, thorough=True)
        page.sections["files"], need = _files(folder)
        room = memory.free()
        page.sections["memory"] = _memory(need, room, page)
        if need.sampling(memory.Plan()) > room.free:
            return page
        tell("loading")
        model, tokenizer = load(str(folder), "auto", dtype)
    except UserError as error:
        page.wrong("the folder is refused", str(error))
        return page
    page.sections["files"]["context"] = context_of(model)
    page.sections["chat"] = _chat(folder, tokenizer, model, page)
    if texts:
        page.sections["tokens"] = _tokens(tokenizer, texts)
    prompts = prompts_ids(tokenizer, [[{"role": "user", "content": text}] for text in model_trials.asked(texts)])
    if max(map(len, prompts)) + model_trials.LENGTH > context_of(model):
        page.wrong(
            f"the context has {context_of(model)} tokens, too few for the prompts that are tried here",
            "keep prompts and max_completion_length below it",
        )
        return page
    tell("comparing with plain transformers, alone and in a batch")
    page.sections["agreement"] = model_trials.agreement(str(folder), model, tokenizer, prompts)
    _judge_agreement(page)
    tell("measuring the speed")
    page.sections["speed"] = model_trials.speed(model, tokenizer, prompts, clock)
    if page.sections["files"]["dtype"] != "float32" and model.device.type == "cpu" and dtype == "auto":
        page.wrong("16 bits are slow on a CPU", "set engine.transformers.dtype=float32")
    if context_of(model) <= LIMIT:
        page.wrong(f"the context is {context_of(model)} tokens", "set engine.transformers.max_completion_length below")
    return page


def texts_of(path: Path) -> Iterator[str]:
    """The texts of a file: of a JSON line every text in it, else the line.

    Raises:
        MissingError: there is no such file.
        DataError: it is not text.
    """
    words = 0
    for _, line in lines(path, "--data"):
        text = line.decode("utf-8", "replace").strip()
        for one in _strings(text):
            yield one
            words += len(one.split())
        if words > WORDS:
            return


def _strings(line: str) -> Iterator[str]:
    try:
        values: Any = json.loads(line) if line[:1] in "{[" else line
    except ValueError:
        values = line
    waiting = [values]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            waiting[:0] = value.values() if isinstance(value, dict) else value


def _files(folder: Path) -> tuple[dict[str, Any], memory.Need]:
    need, config = memory.need(folder), json.loads((folder / "config.json").read_text(encoding="utf-8"))
    text = config.get("text_config", config)
    return {
        "architecture": ", ".join(config.get("architectures") or [str(config.get("model_type"))]),
        "weights": need.weights,
        "dtype": str(text.get("dtype") or text.get("torch_dtype") or config.get("dtype")),
        "vocabulary": text.get("vocab_size"),
        "tied": bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", True))),
    }, need


def _memory(need: memory.Need, room: memory.Room, page: Page) -> dict[str, Any]:
    plan = memory.Plan(trainer="optimization")
    rows = {"sampling": need.sampling(plan)} | {way: need.training(way, plan) for way in ("weights", "adapter")}
    if rows["sampling"] > room.free:
        page.wrong("the weights do not fit into memory", "take a smaller model, or a machine with more memory")
    elif rows["adapter"] > room.free:
        page.wrong("no training fits into memory", "take a smaller model, or on a GPU lora.load_in_4bit=true")
    elif rows["weights"] > room.free:
        page.wrong("training all weights does not fit into memory", "train an adapter: optimization.NAME.lora.r=16")
    return {**{name: round(value / memory.GB, 3) for name, value in rows.items()}, "free": round(room.free / 1e9, 1)}


def _chat(folder: Path, tokenizer: Any, model: Any, page: Page) -> dict[str, Any]:
    template = template_of(folder) or tokenizer.chat_template or ""
    if not template:
        page.wrong(
            "it has no chat template", "prompts are plain text; for a chat model set model.pretrained.chat_template"
        )
    ends = [tokenizer.convert_ids_to_tokens(one) for one in ends_of(model, tokenizer)]
    if not ends:
        page.wrong("no token ends a completion: each runs to the length limit", "set eos_token_id in its config.json")
    elif end_of(tokenizer) not in ends_of(model, tokenizer):
        page.wrong("its template ends turns with a token that does not end a completion", "see eos_token_id")
    if len(tokenizer) > model.get_input_embeddings().weight.shape[0]:
        page.wrong(
            f"the tokenizer has {len(tokenizer)} tokens and the model {model.get_input_embeddings().weight.shape[0]}",
            "texts with the tokens beyond cannot be read",
        )
    roles = _roles(tokenizer) if template else {}
    if template and roles["system"] == "refused":
        roles["system"] = "refused; it goes before the user's first message"
    if template and roles["second turn"] == "refused":
        page.wrong("its template refuses a second turn", "methods that talk on, such as verify_then_revise, cannot run")
    return {
        "template": f"{len(template)} characters" if template else "none",
        "arguments": sorted(_arguments(template)),
        "date": asks_for_date(template),
        "thinking": _thinking(tokenizer),
        **{f"role {name}" if name != "second turn" else name: said for name, said in roles.items()},
        "ends": ends,
    }


def _arguments(template: str) -> set[str]:
    """The names that a template reads and nothing sets: what `chat_template_kwargs` may give it."""
    from jinja2 import Environment, TemplateError, meta

    try:
        names = meta.find_undeclared_variables(Environment(extensions=["jinja2.ext.loopcontrols"]).parse(template))
    except TemplateError:  # a tag of transformers' own, such as {% generation %}
        return set(re.findall(r"\b(enable_thinking|reasoning_effort|thinking|model_identity)\b", template))
    own = set(re.findall(r"\bset\s+(\w+)", template))  # some only on one side of a condition
    return {name for name in names - own if name not in GIVEN and not name.startswith(("raise_", "strftime_"))}


def _thinking(tokenizer: Any) -> str:
    """The form of its thoughts, and whether the template begins them."""
    match form_of(tokenizer):
        case None:
            return "no thoughts"
        case Channels():
            return "channels: the reply is in final"
        case Tags() as form:
            begun = "; the template opens them itself" if form.opened else ""
            return f"between {form.open} and {form.close}{begun}"
        case form:
            return f"{type(form).__name__.lower()} for a tool, after the reply"


def _roles(tokenizer: Any) -> dict[str, str]:
    """What the template does with a system message, a tool's answer and a second turn."""
    talk = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "second"}]
    tried = {
        "system": [{"role": "system", "content": "SHOWN"}, talk[0]],
        "tool": [*talk, {"role": "tool", "content": "SHOWN", "name": "f"}],
        "second turn": [*talk, {"role": "user", "content": "SHOWN"}],
    }
    found = {}
    for name, messages in tried.items():
        try:
            shown = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            found[name] = "shown" if "SHOWN" in shown else "left out"
        except Exception:  # a template may raise anything; most raise TemplateError
            found[name] = "refused"
    return found


def _tokens(tokenizer: Any, texts: list[str]) -> dict[str, Any]:
    words = sum(len(text.split()) for text in texts)
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    longest = max(map(len, ids), default=0)
    count = sum(map(len, ids))
    if not words:
        raise DataError("--data: the file has no words")
    return {"words": words, "tokens": count, "per word": round(count / words, 2), "longest text": longest}


def _judge_agreement(page: Page) -> None:
    found = page.sections["agreement"]
    same, of = found["greedy as plain transformers"]
    if same < of:
        page.wrong(f"greedy text differs from plain transformers on {of - same} of {of} prompts", "please report it")
    for kind, (together, whole) in found["alone and in a batch"].items():
        if together < whole:
            page.wrong(
                f"in {kind} {whole - together} of {whole} texts change with their neighbours in a batch",
                "where bytes matter, set engine.transformers.fixed_shapes=true"
                + ("" if kind == "float32" else " or engine.transformers.dtype=float32"),
            )


def table_of(page: Page) -> Iterator[tuple[str, str, str]]:
    """(section, what, found) for each line of the page."""
    for section, values in page.sections.items():
        for name, value in values.items():
            yield section, name, _said(section, name, value)


def _said(section: str, name: str, value: Any) -> str:
    if section == "memory":
        return f"{value:.2f} GB" if value < 10 else f"{value:.0f} GB"
    if section == "speed" and isinstance(value, float):
        return f"{value:.1f} s for 1,000 tokens"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_said('', '', one)}" for key, one in value.items())
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(one) is int for one in value):
        return f"{value[0]} of {value[1]}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, islice(value, 12))) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
