"""Preference optimization on single completions, each good or bad, with TRL's KTO trainer."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from selfimprove.inference.rows import joined
from selfimprove.interfaces import Log
from selfimprove.records import Checkpoint, Rollout
from selfimprove.training.job import Job
from selfimprove.training.lora import adapter
from selfimprove.training.model_io import frozen, load
from selfimprove.training.trl.masks import sides, unmark, without_needless
from selfimprove.training.trl.trainer import configured, dataset, report, train, without_statistics

FLAT = 10.0
"""Distance from the middle of the sigmoid at which its slope is less than a thousandth of the largest."""


def kto(
    job: Job,
    rollouts: Sequence[Rollout],
    good: Sequence[bool],
    **options: Any,
) -> Checkpoint:
    """KTO on single completions, each good or bad, with TRL's KTO trainer; saves to `job.folder`.

    Args:
        options: fields of TRL's KTOConfig.

    Raises:
        DataError: the loss is not a number.
    """
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer

    class Collator(DataCollatorForUnpairedPreference):
        """Leaves out what the assistant did not say."""

        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            made = super().torch_call(examples)
            for side, mask in (("completion", "completion_mask"), ("KL_completion", "KL_completion_mask")):
                unmark(made[mask], examples, side)
            return made

    class TokenizedKTOTrainer(KTOTrainer):
        """Takes rows that are tokenized already."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    model, tokenizer = load(job.start, job.schedule.lora)
    told = joined(tokenizer, rollouts)
    order = random.Random(job.schedule.seed).sample(range(len(told)), len(told))
    rows, size = [], job.schedule.per_device_train_batch_size
    for first in range(0, len(order), size):
        batch = order[first : first + size]
        for place, before in zip(batch, [batch[-1], *batch[:-1]], strict=True):
            own, other = told[place], told[before]
            # the divergence is estimated on the batch's completions, each paired with another one's prompt
            said = sides(completion=own, KL_completion=other)
            rows.append({"prompt_ids": own.prompt, "label": bool(good[place]), **said})
    trainer = TokenizedKTOTrainer(
        model=model,
        ref_model=frozen(job.reference, job.start, job.schedule.lora),
        args=configured(
            KTOConfig,
            replace(job, schedule=replace(job.schedule, train_sampling_strategy="sequential")),
            model,
            max_length=None,
            **options,
        ),
        data_collator=Collator(pad_token_id=tokenizer.pad_token_id),
        train_dataset=dataset(without_needless(rows)),
        processing_class=tokenizer,
        peft_config=adapter(job.schedule.lora, job.schedule.seed),
    )
    without_statistics(trainer)
    trained = train(trainer, tokenizer, job)
    report(trainer, job.log, {"kl": "kl", "rewards/chosen": "reward_good", "rewards/rejected": "reward_bad"})
    found = dict[str, float]()
    for entry in trainer.state.log_history:
        found |= entry
    tell_flat(found, trainer.beta, job.log)
    return trained


def tell_flat(found: Mapping[str, float], beta: float, log: Log) -> None:
    """Note it if the value of good or bad completions is flat, so that they are no longer learned.

    On long texts the sum of log-ratios can be hundreds of nats; a sigmoid has no slope there, and nothing else tells.

    Args:
        found: the last values that TRL logged.
    """
    for name, side in (("rewards/chosen", "good"), ("rewards/rejected", "bad")):
        gap = found.get(name, 0.0) - beta * found.get("kl", 0.0)
        if abs(gap) > FLAT:
            log.note(
                f"kto: beta (r - z) of the {side} completions is {gap:.1f}, where its value is flat and teaches "
                "nothing; lower optimization.kto.beta, or set reference=start"
            )
