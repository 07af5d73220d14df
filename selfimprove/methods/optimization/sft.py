"""Supervised fine-tuning on the selected completions, or language modeling on documents, by TRL.

Idea: imitate the kept rollouts, with the loss on the completion only.
Survey: direct optimization, section 4.2.
Paper: arXiv:2312.06585 (ReST-EM), Singh et al., 2023; with other options STaR, RFT, LMSI and expert iteration.
Algorithm:
  1. Take this round's rollouts; with `data: all_rounds` also those of earlier rounds, back to the last round that
     trained without this option.
  2. Start from the base model, or with `restart: last` from the policy that made the data.
  3. TRL's SFTTrainer, for `max_steps` steps if that is set, else `num_train_epochs` epochs.
     `batches: sorted` fills batches from all rows sorted by length instead of sorting within pools.
  4. `packing` and `padding_free` avoid padding; a check first makes sure that rows do not attend to each other.
  5. Documents are learned as texts, with the loss on all of their tokens and on the end token after them. One that is
     longer than a row is split or cut off (`long_documents`), and counted.
  6. `peak_every` keeps the weights with the best accuracy on selection problems (arXiv:2606.21090).
Differs: ignores the weights of rows; `weighted_sft` uses them. With `loss_type: dft` each token's loss is multiplied by
  its own probability (dynamic fine-tuning, arXiv:2508.05629).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import LARGEST, bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import GREEDY, ROWS, Context, Optimization
from selfimprove.records import Checkpoint, Document, Rollout
from selfimprove.registry import register


@register("sft", paper="2312.06585")
@dataclass
class Sft(training.Adapted, training.Trained, Optimization):
    consumes: ClassVar[Any] = Rollout | Document
    chooses: ClassVar[str] = ROWS
    data: str = "newest"
    """Training data: `newest` (this round's rollouts) or `all_rounds`."""
    loss_type: str = "nll"
    """TRL's loss name: `nll`, or `dft` for dynamic fine-tuning."""
    max_steps_growth: float = 1.0
    """Factor on max_steps from round to round (STaR: 1.2)."""
    weight_decay: float = bounded(0.0, 0, 100)
    """AdamW's weight decay."""
    batches: str = "pools"
    """How batches get rows of similar length: `pools` sorts within pools of rows, as transformers does; `sorted` sorts
    all rows and draws the order of the batches, which pads least."""
    padding_free: bool = False
    """Concatenate the rows of a batch instead of padding them. Without FlashAttention, the time and memory of attention
    grow with the square of their total length."""
    packing: bool = False
    """Fill rows with whole completions up to max_length tokens, and concatenate these rows; a batch then has
    per_device_train_batch_size filled rows."""
    max_length: int = 1024
    """With packing, the length of a filled row in tokens; a longer prompt and completion get a row of their length."""
    long_documents: str = "split"
    """What becomes of a document that is longer than the context, or with packing than max_length: `split` into rows,
    which add to the steps that `check` counts, or `cut`."""
    decay_steps: int = 0
    """Steps at the end over which a constant rate falls to a hundredth; 0 leaves the schedule to lr_scheduler_type."""
    peak_every: int = 0
    """Steps between two evaluations of greedy accuracy on selection problems. The best weights are kept, not the last,
    and a sharp drop ends training. 0 disables the evaluations."""
    peak_problems: int = 128
    """Selection problems in each evaluation of `peak_every`."""
    restart: str = "base"
    learning_rate: float = bounded(1e-5, 0, 100)
    num_train_epochs: float = bounded(3.0, 0, 1e6)

    def __post_init__(self) -> None:
        super().__post_init__()
        training.one_of(self, data=("newest", "all_rounds"), loss_type=("nll", "dft"), long_documents=("split", "cut"))
        training.one_of(self, batches=("pools", "sorted"))
        if self.batches == "sorted" and (self.packing or self.padding_free):
            raise RecipeError("optimization.sft: batches: sorted saves padding; packing and padding_free have none")
        if self.packing and self.max_length < 1:
            raise RecipeError(f"optimization.sft.max_length is {self.max_length}; it must be 1 or more")
        if self.peak_every and (self.fsdp_config or self.deepspeed):
            raise RecipeError("optimization.sft.peak_every needs whole weights; fsdp_config and deepspeed spread them")

    def cost(self, given: Given) -> Cost:
        if self.max_steps > 0:
            steps = self._grown(given.round)
        else:
            rows = given.flow.records * (given.round if self.data == "all_rounds" else 1)
            steps = training.planned_steps(self, rows, given.processes)
        looks = steps // self.peak_every + 1 if self.peak_every else 0
        return Cost(steps=steps) + given.draw(looks * min(self.peak_problems, given.selection))

    def _grown(self, number: int) -> int:
        """`max_steps` in a round."""
        try:
            return min(LARGEST, round(self.max_steps * self.max_steps_growth ** (number - 1)))
        except OverflowError:
            return LARGEST

    def choice(self, given: Given) -> tuple[int, int]:
        rows = given.flow.records * (given.round if self.data == "all_rounds" else 1)
        return self.per_device_train_batch_size * self.gradient_accumulation_steps, rows

    def steers_itself(self) -> str:
        return "packing" if self.packing else "padding_free" if self.padding_free else ""

    def optimize(self, records: Sequence[Any], context: Context) -> Checkpoint:
        rows = training.replayed(records, context) if self.data == "all_rounds" else list(records)
        steps = self.max_steps
        if steps > 0:
            steps = self._grown(context.round)
        job = training.job_of(self, context)
        job = replace(job, schedule=replace(job.schedule, max_steps=steps))
        peak = self._peak(context) if self.peak_every else None
        return training.sft(
            job,
            rows,
            peak,
            self.peak_every,
            loss_type=self.loss_type,
            padding_free=self.padding_free,
            packing=self.packing,
            max_length=self.max_length,
            split=self.long_documents == "split",
            steered=training.steered_rows(rows, context),
            whole_sort=self.batches == "sorted",
        )

    def _peak(self, context: Context) -> training.Peak:
        """Greedy accuracy of the weights in training, on the same selection problems each time."""
        problems, scratch = context.selection(self.peak_problems), context.folder / "scratch"
        _, tokenizer = training.load(context.policy.checkpoint)

        def measure(step: int, model: Any) -> float:
            looked = training.save(model, tokenizer, scratch / str(step), context.policy.checkpoint)
            groups = replace(context.policy, checkpoint=looked).sample(problems, 1, GREEDY)
            shutil.rmtree(scratch)
            marks = [context.verify(group[0].prompt, group[0].text) or 0.0 for group in groups]
            return sum(marks) / max(1, len(marks))

        return training.Peak(measure, max(1, len(problems)))
