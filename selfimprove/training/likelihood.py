"""Likelihood of completions, with TRL's SFT trainer; each may have a weight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selfimprove.interfaces import Log
from selfimprove.records import Checkpoint, Rollout
from selfimprove.text import completions_ids, prompts_ids
from selfimprove.training.lora import adapter
from selfimprove.training.peak import Check
from selfimprove.training.schedule import Schedule
from selfimprove.training.trainer import arguments, dataset, train
from selfimprove.training.weights import load


def sft(
    checkpoint: Checkpoint,
    rollouts: Sequence[Rollout],
    folder: Path,
    schedule: Schedule,
    log: Log,
    check: Check | None = None,
    check_every: int = 0,
    *,
    loss_type: str = "nll",
    weights: Sequence[float] | None = None,
    average: str = "token",
) -> Checkpoint:
    """Supervised fine-tuning on completions, the loss on completion tokens only; saves to `folder`.

    `check` is asked every `check_every` steps whether to stop; of a `Peak` the best weights are saved, not the last.

    Args:
        loss_type: TRL's `nll` or `dft`.
        weights: one for each rollout, in the mean over an optimizer step.
        average: with weights, what has the weight: each `token` or the mean over the tokens of a `sequence`.

    Raises:
        DataError: the loss is not a number.
    """
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling, SFTTrainer

    class Collator(DataCollatorForLanguageModeling):
        """Hands the weights of the rows on."""

        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            import torch

            weight = torch.tensor([example["weight"] for example in examples], dtype=torch.float32)
            return {**super().torch_call(examples), "weight": weight}

    class WeightedSFTTrainer(SFTTrainer):
        """The weighted mean over the tokens of all batches of an optimizer step."""

        def _get_num_items_in_batch(self, batch_samples: list[Any], device: Any) -> Any:
            sums = [(batch["weight"] * (batch["labels"][:, 1:] != -100).sum(-1)).sum() for batch in batch_samples]
            total: Any = sum(sums)
            shares: Any = self.accelerator.gather(total.to(device))
            return shares.sum()

        def compute_loss(self, model: Any, inputs: Any, return_outputs: Any = False, num_items_in_batch: Any = None):
            weight = inputs.pop("weight")
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
            loss = -(outputs.log_probs.sum(-1) * weight).sum() / num_items_in_batch
            return loss * self.accelerator.num_processes  # gradients are averaged over processes

    model, tokenizer = load(checkpoint, schedule.lora)
    prompts = prompts_ids(tokenizer, [rollout.prompt.prompt for rollout in rollouts])
    ended = [not rollout.truncated for rollout in rollouts]
    completions = completions_ids(tokenizer, [rollout.completion for rollout in rollouts], ended)
    rows = []
    for prompt, completion in zip(prompts, completions, strict=True):
        both = prompt + completion
        rows.append({"input_ids": both, "labels": [-100] * len(prompt) + completion, "length": len(both)})
    config = SFTConfig(
        **arguments(folder, schedule, model),
        dataset_kwargs={"skip_prepare_dataset": True},
        packing=False,
        loss_type=loss_type,
    )
    collator = None
    if weights is not None:
        parts = [1 if average == "token" else len(completion) for completion in completions]
        rows = [{**row, "weight": weight / part} for row, weight, part in zip(rows, weights, parts, strict=True)]
        collator = Collator(pad_token_id=tokenizer.pad_token_id)
    trainer = (SFTTrainer if weights is None else WeightedSFTTrainer)(
        model=model,
        args=config,
        train_dataset=dataset(rows),
        data_collator=collator,
        processing_class=tokenizer,
        peft_config=adapter(schedule.lora, schedule.seed),
    )
    return train(trainer, tokenizer, folder, log, checkpoint, check, check_every)
