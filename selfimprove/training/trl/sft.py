"""Supervised fine-tuning on completions, each of which may have a weight, or on documents, with TRL's SFT trainer."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from typing import Any

from selfimprove.errors import DataError, RecipeError
from selfimprove.inference.rows import Row, document_rows, rows_of
from selfimprove.inference.weights import context_of
from selfimprove.records import Checkpoint, Document, Rollout
from selfimprove.training.best_weights import Check
from selfimprove.training.job import Job
from selfimprove.training.lora import adapter
from selfimprove.training.model_io import load
from selfimprove.training.steering import Steered
from selfimprove.training.trl.batches import ByLength, in_memory
from selfimprove.training.trl.row_weights import RowWeights
from selfimprove.training.trl.trainer import configured, dataset, only_logprobs, train


def sft(
    job: Job,
    records: Sequence[Rollout] | Sequence[Document],
    check: Check | None = None,
    check_every: int = 0,
    *,
    loss_type: str = "nll",
    weights: Sequence[float] | None = None,
    average: str = "token",
    padding_free: bool = False,
    packing: bool = False,
    max_length: int = 1024,
    split: bool = True,
    whole_sort: bool = False,
    kept: bool = True,
    steered: Steered | None = None,
) -> Checkpoint:
    """Supervised fine-tuning on completions, with the loss on the assistant's tokens only; saves to `job.folder`.

    Documents are learned as texts: all of their tokens.

    `check` is called every `check_every` steps and may stop training; with a `Peak` the best weights are saved, not the
    last.

    Args:
        loss_type: TRL's `nll` or `dft`.
        weights: one per record, in the mean over an optimizer step.
        average: what the weights apply to: each `token`, or the mean over the tokens of a `sequence`.
        padding_free: concatenate the rows of a batch instead of padding them; not with weights.
        packing: fill rows of up to `max_length` tokens with whole completions, and concatenate these rows.
        split: a document that is longer than the context, or with packing than `max_length`, becomes several rows;
            else it is cut off.
        whole_sort: fill batches from all rows sorted by length, see `by_length`; not with packing.
        kept: whether training may resume from its own checkpoint, if the run keeps any.
        steered: chooses the rows of each step, with as many of them as TRL's order gives; not with concatenated rows,
            and not where a completion becomes several rows.

    Raises:
        DataError: the loss is not a number, or there is nothing to learn.
        RecipeError: the model mixes concatenated rows.
    """
    import torch
    from trl.data_utils import pack_dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
    from trl.trainer.sft_trainer import SFTTrainer as TrlsTrainer

    def collate(examples: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch in a tenth of its time, with the weights of the rows."""
        made = {
            "input_ids": padded([example["input_ids"] for example in examples], tokenizer.pad_token_id),
            "labels": padded([example["labels"] for example in examples], -100),
            "attention_mask": padded([[1] * len(example["input_ids"]) for example in examples], 0),
        }
        if weights is not None:
            made["weight"] = torch.tensor([example["weight"] for example in examples], dtype=torch.float32)
        return made

    class SFTTrainer(TrlsTrainer):  # by TRL's name, which training checkpoints have
        """TRL's loss without the entropy and the token accuracy that it logs."""

        def _get_train_sampler(self, *given: Any, **named: Any) -> Any:
            if not whole_sort:
                return super()._get_train_sampler(*given, **named)
            return ByLength([len(row["input_ids"]) for row in rows], self.args.train_batch_size)

        def compute_loss(self, model: Any, inputs: Any, return_outputs: Any = False, num_items_in_batch: Any = None):
            if self.aux_loss_enabled:  # mixtures of experts: the routers' loss comes with TRL's own
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
            losses = -outputs.log_probs
            if loss_type == "dft":
                losses = losses * outputs.log_probs.exp().detach()
            tokens = outputs.label_mask.sum() if num_items_in_batch is None else num_items_in_batch
            loss = losses.sum() / torch.as_tensor(tokens).clamp(min=1)
            return loss if num_items_in_batch is None else loss * self.accelerator.num_processes

        def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> Any:
            found = super().get_batch_samples(epoch_iterator, num_batches, device)
            if steered is None:
                return found
            sizes = [len(batch["input_ids"]) for batch in found[0]]
            places = iter(steered.step(sum(sizes)))
            made = [collate([rows[place] for place in itertools.islice(places, size)]) for size in sizes]
            return made, self._get_num_items_in_batch(made, device)

    class WeightedSFTTrainer(TrlsTrainer):
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

    model, tokenizer = load(job.start, job.schedule.lora)
    told = _rows(tokenizer, records, min(context_of(model), max_length if packing else sys.maxsize), split, job)
    if steered and any(len(several) != 1 for several in told):
        raise DataError("a sampler chooses completions, and the chat template of this model makes several rows of one")
    rows = [{"input_ids": row.ids, "labels": row.labels, "length": len(row.ids)} for several in told for row in several]
    config = configured(
        SFTConfig,
        job,
        model,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        packing=packing,
        padding_free=padding_free or packing,
        loss_type=loss_type,
    )
    if weights is not None:
        parts = [1 if average == "token" else sum(sum(row.said) for row in several) for several in told]
        shares = [weight / part for weight, part, several in zip(weights, parts, told, strict=True) for _ in several]
        rows = [{**row, "weight": share} for row, share in zip(rows, shares, strict=True)]
    given = dataset(rows) if packing else in_memory(dataset(rows), rows)
    if config.padding_free:
        _keeps_apart(model, DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True), rows[0]["input_ids"])
    if packing:
        longest = max(max_length, *(row["length"] for row in rows))  # so that no row is cut
        given = pack_dataset(given.select_columns(["input_ids", "labels"]), longest)
        job.log.metric("train/packed_rows", len(given))
    trainer = (SFTTrainer if weights is None else WeightedSFTTrainer)(
        model=model,
        args=config,
        train_dataset=given,
        data_collator=None if config.padding_free else collate,
        processing_class=tokenizer,
        peft_config=adapter(job.schedule.lora, job.schedule.seed),
    )
    if not trainer.aux_loss_enabled:
        only_logprobs(trainer)
    if steered:
        steered.asks(RowWeights(trainer.model, collate, rows, 8 * job.schedule.per_device_train_batch_size))
    trained = train(trainer, tokenizer, job, check, check_every, kept, steered)
    if steered:
        steered.report()
    return trained


def _rows(
    tokenizer: Any, records: Sequence[Rollout] | Sequence[Document], longest: int, split: bool, job: Job
) -> list[list[Row]]:
    """The rows of each record; of documents it is counted how many are longer than a row, and how many tokens they had.

    Raises:
        DataError: no document has two tokens.
    """
    texts = [one.text for one in records if isinstance(one, Document)]
    if not texts:
        return rows_of(tokenizer, [one for one in records if isinstance(one, Rollout)])
    made = document_rows(tokenizer, texts, longest, split)
    long = made if split else document_rows(tokenizer, texts, longest)
    rows = [row for several in made for row in several]
    if not rows:
        raise DataError("the documents are too short to learn from: none has two tokens")
    job.log.metric("train/documents", len(texts))
    job.log.metric("train/documents_split" if split else "train/documents_cut", sum(len(one) > 1 for one in long))
    job.log.metric("train/document_tokens", sum(len(row.completion) for row in rows))
    return made


def padded(rows: Sequence[Sequence[int]], filling: int) -> Any:
    """Rows of numbers as one tensor (rows, width of the longest), filled up on the right."""
    import torch

    width = max(map(len, rows))
    return torch.tensor([[*row, *[filling] * (width - len(row))] for row in rows])


def _keeps_apart(model: Any, collator: Any, ids: list[int]) -> None:
    """Check that a row's log-probabilities stay the same if another row precedes it.

    FlashAttention separates rows by their lengths, transformers' other attentions by a mask made from positions. It is
    not documented which models support this, so it is measured.

    Raises:
        RecipeError: the log-probabilities change.
    """
    import torch

    row = {"input_ids": ids[-128:]}
    other = {"input_ids": row["input_ids"][::-1]}  # the same row would change too little
    said = []
    for rows in ([row], [other, row]):
        given = collator(rows)
        given = {name: one.to(model.device) if hasattr(one, "to") else one for name, one in given.items()}
        given.pop("labels")
        with torch.no_grad():
            logits = model(**given, use_cache=False).logits[0, -len(row["input_ids"]) :]
        said.append(logits.float().log_softmax(-1))
    off = (said[0] - said[1]).abs().max().item()
    if not off < 0.05:
        raise RecipeError(
            f"a row's log-probabilities change by {off:.2g} if another row precedes it: this kind of model "
            f"({model.config.model_type}) cannot train without padding; set packing: false and padding_free: false"
        )
