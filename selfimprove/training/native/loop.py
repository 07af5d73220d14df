"""Weights in training that draw their own completions: the loop for what TRL has no trainer for.

One process, one device. `Live` holds the weights, draws completions, computes log-probabilities and takes optimizer
steps; the method supplies rewards and losses. Training that was stopped starts over.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given, count
from selfimprove.errors import RecipeError
from selfimprove.inference.chat import end_of, ending, prompts_ids
from selfimprove.inference.drawn import messages_of
from selfimprove.inference.rows import rows_of, turns_of
from selfimprove.interfaces import Sampling
from selfimprove.logs import chart
from selfimprove.needs import Needs
from selfimprove.records import Checkpoint, Message, Prompt, Rollout, digest
from selfimprove.registry import name_of
from selfimprove.training.drawing import draw_each
from selfimprove.training.job import Job
from selfimprove.training.model_io import load, save, without_dropout
from selfimprove.training.native.turns import Turn, batches, passes
from selfimprove.training.options import Referenced, online_cost
from selfimprove.training.trl.trainer import arguments, diverged

Item = TypeVar("Item")


@dataclass
class Drawn(Referenced):
    """The options of every method whose completions `Live` draws during training."""

    per_device_train_batch_size: int = bounded(8, 1)
    """Rows per batch and device. A row is one completion, or all replies of one conversation."""
    gradient_accumulation_steps: int = bounded(1, 1)
    """Batches summed up for one optimizer step; their rows are drawn together."""
    num_generations: int = bounded(1, 1)
    """Rows of each prompt."""
    temperature: float = bounded(1.0, above=0, high=100)
    """Temperature of the completions."""
    max_completion_length: int = bounded(512, 1)
    """Tokens per completion."""

    def needs(self) -> Needs:
        """One process: `Live` shares its weights with no other."""
        return Needs(one_process=True)

    def cost(self, given: Given) -> Cost:
        """The cost of steps, completions and rewards."""
        return online_cost(self, given)

    def __post_init__(self) -> None:
        super().__post_init__()
        rows = self.per_device_train_batch_size * self.gradient_accumulation_steps
        if rows % self.num_generations:
            raise RecipeError(
                f"optimization.{name_of(self)}: {rows} rows per step (batch size times accumulation) must be a "
                f"multiple of num_generations, which is {self.num_generations}"
            )


class Live:
    """The weights in training."""

    def __init__(self, job: Job, rows: int, method: Drawn, again: int = 1) -> None:
        """Load the weights that the job starts from.

        Args:
            rows: rows in one pass over the data; they give the number of steps if max_steps is -1.
            method: its options define how completions are drawn.
            again: steps taken with the same rows.

        Raises:
            RecipeError: several processes train together.
        """
        import torch
        from transformers import get_scheduler

        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise RecipeError(f"optimization.{name_of(method)} trains in one process; set launcher=inline or process")
        self.job, self.schedule = job, job.schedule
        self.batch = self.schedule.per_device_train_batch_size
        self.rows_per_step = self.batch * self.schedule.gradient_accumulation_steps
        passed = max(1, math.ceil(rows * method.num_train_epochs / self.rows_per_step)) * again
        self.steps, self.done = method.max_steps if method.max_steps > 0 else passed, 0
        self.sampling = Sampling(temperature=method.temperature, max_completion_length=method.max_completion_length)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model, self.tokenizer = load(job.start)
        settings = arguments(job.folder, job.schedule, self.model)
        self.half, checkpointing = settings["bf16"], settings["gradient_checkpointing"]
        if checkpointing:
            self.model.gradient_checkpointing_enable()
        without_dropout(self.model)  # it would change the ratios
        self.model.train(checkpointing)  # checkpointing works in training mode only
        self.model.to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=self.schedule.learning_rate,
            betas=(0.9, self.schedule.adam_beta2),
            weight_decay=self.schedule.weight_decay,
        )
        self._get_scheduler, self._scheduler = get_scheduler, None
        self._seeds, self.losses = itertools.count(), list[float]()

    def add(self, parameters: Iterable[Any], learning_rate: float) -> None:
        """Train further weights besides the model's, with their own learning rate; call before the first step."""
        self.optimizer.add_param_group({"params": list(parameters), "lr": learning_rate})

    def beside(self, checkpoint: Checkpoint) -> Any:
        """A second model that is not trained, on the same device."""
        return load(checkpoint)[0].to(self.device).eval().requires_grad_(False)

    def mixed(self) -> AbstractContextManager[Any]:
        """Compute in bfloat16 if large weights are trained on a GPU."""
        import torch

        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.half)

    # ---- completions ---------------------------------------------------------------------------------------------
    def draw(self, prompts: Sequence[Prompt]) -> list[Turn]:
        """One completion of each prompt, drawn with the current weights; equal prompts get different ones."""
        if not prompts:
            return []
        asked = [tuple(ids) for ids in prompts_ids(self.tokenizer, [prompt.prompt for prompt in prompts])]
        seed = int(digest([self.schedule.seed, "draw", next(self._seeds)])[:8], 16)
        made = draw_each(self.model, self.tokenizer, asked, self.sampling, self.batch, seed, self.mixed)
        count(Cost(completions=len(made), tokens=sum(draw.count for draw in made)))
        said = messages_of(self.tokenizer, [draw.tokens for draw in made])
        usual = end_of(self.tokenizer)
        return [
            Turn(
                rollout=Rollout(
                    prompt=prompt,
                    completion=[message],
                    info=ending(self.tokenizer, usual, draw.end),
                ),
                prompt_ids=list(ids),
                ids=draw.tokens if draw.end is None else [*draw.tokens, draw.end],
            )
            for prompt, ids, draw, message in zip(prompts, asked, made, said, strict=True)
        ]

    def copies(self, prompts: Sequence[Prompt], each: int) -> Iterator[list[Prompt]]:
        """The prompts of each step, without end; each prompt appears `each` times, side by side."""
        for part in passes(prompts, self.rows_per_step // each, self.schedule.seed):
            yield [prompt for prompt in part for _ in range(each)]

    def turns(self, rollouts: Sequence[Rollout]) -> list[Turn]:
        """Rollouts from an engine as turns, without those that have no tokens.

        A conversation is one turn, or one turn per reply if the chat template shows earlier replies differently from
        how they were drawn.
        """
        made = list[Turn]()
        for rollout, rows in zip(rollouts, rows_of(self.tokenizer, rollouts), strict=True):
            for one, row in zip([rollout] if len(rows) == 1 else turns_of(rollout), rows, strict=True):
                said = () if all(row.said) else tuple(row.said)
                turn = Turn(rollout=one, prompt_ids=row.prompt, ids=row.completion, said=said, reward=one.reward)
                made += [turn] if row.completion else []
        return made

    # ---- what models say of them ---------------------------------------------------------------------------------
    def inputs(self, turns: Sequence[Turn]) -> tuple[dict[str, Any], Any, Any]:
        """A model's arguments, the tokens of the completions (turns, longest), and their mask: 1 if learned, else 0.

        Prompts are padded on the left.
        """
        import torch

        left, right = max(len(turn.prompt_ids) for turn in turns), max(len(turn.ids) for turn in turns)
        pad = self.tokenizer.pad_token_id
        rows = [
            [pad] * (left - len(turn.prompt_ids)) + turn.prompt_ids + turn.ids + [pad] * (right - len(turn.ids))
            for turn in turns
        ]
        real = [
            [0] * (left - len(turn.prompt_ids))
            + [1] * (len(turn.prompt_ids) + len(turn.ids))
            + [0] * (right - len(turn.ids))
            for turn in turns
        ]
        tokens, mask = torch.tensor(rows, device=self.device), torch.tensor(real, device=self.device)
        given = {
            "input_ids": tokens,
            "attention_mask": mask,
            "position_ids": (mask.cumsum(-1) - 1).clamp(min=0),
            "use_cache": False,
        }
        learned = [[*turn.learned, *[0] * (right - len(turn.ids))] for turn in turns]
        return given, tokens[:, left:], torch.tensor(learned, device=self.device, dtype=torch.float32)

    def distributions(self, turns: Sequence[Turn], model: Any = None) -> tuple[Any, Any]:
        """Log-probabilities of all tokens at each place of the completions, at the draw's temperature; mask."""
        logits, _, mask = self._logits(turns, model)
        return logits.log_softmax(-1), mask

    def logprobs(self, turns: Sequence[Turn], model: Any = None) -> tuple[Any, Any]:
        """The log-probability of each learned token of the completions (turns, longest), 0 for all else; mask."""
        logits, ids, mask = self._logits(turns, model)
        return (logits.gather(-1, ids[..., None])[..., 0] - logits.logsumexp(-1)) * mask, mask

    def _logits(self, turns: Sequence[Turn], model: Any) -> tuple[Any, Any, Any]:
        """The logits of each place of the completions over the temperature; the tokens there; mask."""
        given, ids, mask = self.inputs(turns)
        with self.mixed():
            logits = (model or self.model)(**given, logits_to_keep=ids.shape[1] + 1).logits[:, :-1]
        return logits.float() / self.sampling.temperature, ids, mask

    def frozen(self, turns: Sequence[Turn], of: Any) -> Any:
        """The results of `of` for all batches of turns, as one tensor (turns, longest) without gradients."""
        import torch

        width = max(len(turn.ids) for turn in turns)
        with torch.no_grad():
            rows = [of(part) for part in batches(turns, self.batch)]
        return torch.cat([torch.nn.functional.pad(row, (0, width - row.shape[1])) for row in rows])

    def asked(self, turns: Sequence[Turn], prompts: Sequence[Sequence[Message]]) -> list[Turn]:
        """The same completions with other prompts."""
        rows = prompts_ids(self.tokenizer, prompts)
        return [replace(turn, prompt_ids=ids) for turn, ids in zip(turns, rows, strict=True)]

    def noted(self, turns: Sequence[Turn]) -> list[Turn]:
        """The turns with the log-probabilities of their tokens under the current weights."""
        made = []
        for part in batches(turns, self.batch):
            rows = self.frozen(part, lambda some: self.logprobs(some)[0]).tolist()
            made += [replace(turn, old=tuple(row[: len(turn.ids)])) for turn, row in zip(part, rows, strict=True)]
        return made

    # ---- steps ---------------------------------------------------------------------------------------------------
    def update(self, losses: Iterable[Any]) -> None:
        """One optimizer step on the sum of the losses, which are computed one after the other.

        Raises:
            DataError: the loss is not a number.
        """
        import torch

        if self._scheduler is None:
            name, warm = self.schedule.lr_scheduler_type, self.schedule.warmup_steps
            self._scheduler = self._get_scheduler(name, self.optimizer, warm, self.steps)
        self.optimizer.zero_grad()
        total = 0.0
        for loss in losses:
            loss.backward()
            total += loss.item()
        self.done += 1
        if not math.isfinite(total):
            raise diverged(f"the training loss became {total}", self.done, self.schedule)
        for group in self.optimizer.param_groups:
            torch.nn.utils.clip_grad_norm_(group["params"], self.schedule.max_grad_norm)
        self.optimizer.step()
        self._scheduler.step()
        self.losses.append(total)
        self.job.log.progress(self.done, self.steps, "steps")

    def save(self) -> Checkpoint:
        """Write the weights to the job's folder.

        Raises:
            DataError: they are not finite.
        """
        if not all(bool(weight.isfinite().all()) for weight in self.model.parameters()):
            raise diverged("the weights are no longer finite", self.done, self.schedule)
        recent = self.losses[-10:]
        self.job.log.metric("train/loss", sum(recent) / max(1, len(recent)))
        chart({"step": float(step), "train/loss": loss} for step, loss in enumerate(self.losses, 1))
        self.job.log.metric("train/steps", self.done)
        count(Cost(steps=self.done))
        return save(self.model, self.tokenizer, self.job.folder, self.job.start)
