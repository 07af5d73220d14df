"""Preference optimization on pairs with TRL's DPO trainer: one of its losses, or a method's own loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from selfimprove.errors import DataError
from selfimprove.inference.rows import joined
from selfimprove.records import Checkpoint, Preference
from selfimprove.training.job import Job
from selfimprove.training.lora import adapter
from selfimprove.training.model_io import frozen, load
from selfimprove.training.trl.masks import sides, unmark, without_needless
from selfimprove.training.trl.trainer import configured, dataset, only_logprobs, report, train, without_statistics


def dpo(
    job: Job,
    preferences: Sequence[Preference],
    *,
    loss_type: Sequence[str],
    loss_weights: Sequence[float] | None,
    beta: float,
) -> Checkpoint:
    """Preference optimization with any of TRL's DPO losses against the frozen `job.reference`; saves to `job.folder`.

    Raises:
        DataError: the loss is not a number, or no pair has two answers.
    """
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

    class Collator(DataCollatorForPreference):
        """Leaves out what the assistant did not say."""

        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            return _learned(super().torch_call(examples), examples)

    class TokenizedDPOTrainer(DPOTrainer):
        """Takes tokenized rows; TRL would tokenize prompt and completion again as one text."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    model, tokenizer = load(job.start, job.schedule.lora)
    config = configured(
        DPOConfig,
        job,
        model,
        loss_type=list(loss_type),
        loss_weights=list(loss_weights) if loss_weights else None,
        beta=beta,
        max_length=None,
    )
    trainer = TokenizedDPOTrainer(
        model=model,
        ref_model=frozen(job.reference, job.start, job.schedule.lora),
        args=config,
        data_collator=Collator(pad_token_id=tokenizer.pad_token_id),
        train_dataset=dataset(pair_rows(tokenizer, preferences)),
        processing_class=tokenizer,
        peft_config=adapter(job.schedule.lora, job.schedule.seed),
    )
    without_statistics(trainer)
    return train(trainer, tokenizer, job)


@dataclass(frozen=True)
class Places:
    """The reference's outputs before each token of the rejected completions: tensors (pairs, longest, ...)."""

    states: Any
    """Its last hidden state."""
    logits: Any
    ids: Any
    """The token that follows."""
    mask: Any
    """1 where that token is the completion's."""


@dataclass(frozen=True)
class Tokens:
    """The log-probabilities of single tokens, first of the chosen completions, then of the rejected ones.

    Tensors (2 * pairs, longest), with 0 where a token is not learned. Ratios of whole completions overflow on long
    texts; ratios of tokens do not.
    """

    now: Any
    """Under the weights in training."""
    before: Any
    """Under the reference."""
    known: Any
    """Under the third weights of `known`; None without."""


@dataclass(frozen=True)
class Pairs:
    """A batch of pairs for a loss: tensors with one number per pair."""

    chosen: Any
    """The sum of the log-probabilities of the chosen completion's tokens."""
    rejected: Any
    chosen_tokens: Any
    rejected_tokens: Any
    chosen_reference: Any
    """The same sum under the reference; 0 without one."""
    rejected_reference: Any
    numbers: Any
    """The method's numbers for each pair: (pairs, numbers)."""
    places: Any = None
    """The `Places` of the rejected completions, if requested."""
    tokens: Any = None
    """The `Tokens` of both completions."""


def pairs(
    job: Job,
    preferences: Sequence[Preference],
    loss: Callable[[Pairs], Any],
    *,
    numbers: Sequence[Sequence[float]] | None = None,
    known: Sequence[Sequence[Sequence[float]]] | None = None,
    places: bool = False,
) -> Checkpoint:
    """Preference optimization with a method's own loss, by TRL's DPO trainer; saves to `job.folder`.

    Args:
        loss: batch -> one number per pair; their mean is minimized.
        numbers: numbers per pair that `loss` needs, in addition to the completions.
        known: for each pair the log-probabilities of the chosen and of the rejected completion's tokens under third
            weights, as `Engine.logprobs_of` gives them; `loss` finds them in `Pairs.tokens`.
        places: whether `loss` needs the reference's states and logits at the rejected completions.

    Raises:
        DataError: the loss is not a number, or no pair has two answers.
    """
    import torch
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

    class Collator(DataCollatorForPreference):
        """Leaves out what the assistant did not say, and hands the numbers of the rows on."""

        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            made = _learned(super().torch_call(examples), examples)
            made["numbers"] = torch.tensor([example["numbers"] for example in examples], dtype=torch.float32)
            if known is not None:
                made["known"] = _spread([example["known"][side] for side in (0, 1) for example in examples], made)
            return made

    class PairTrainer(DPOTrainer):
        """Takes tokenized rows and any loss."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset  # requested only so that TRL loads no reference

        @contextmanager
        def _frozen(self, model: Any) -> Iterator[Any]:
            if self.ref_model is not None:
                yield self.ref_model
            else:  # without its adapter, the model is the start of training
                bare: Any = self.accelerator.unwrap_model(model)
                with bare.disable_adapter():
                    yield bare

        def _compute_loss(self, model: Any, inputs: Any, return_outputs: Any) -> Any:
            mask = inputs["completion_mask"]
            given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            given |= {"labels": inputs["input_ids"].masked_fill(mask == 0, -100), "use_cache": False}
            now = model(**given, fused_lm_head=True).log_probs
            before = torch.zeros_like(now)
            if job.reference is not None:
                with torch.no_grad(), self._frozen(model) as frozen:
                    before = frozen(**given, fused_lm_head=True).log_probs
            sums, held = now.sum(-1), before.sum(-1)
            seen = None
            if places:
                ids, real = (given[name].chunk(2)[1] for name in ("input_ids", "attention_mask"))
                with torch.no_grad(), self._frozen(model) as frozen:
                    said = frozen(input_ids=ids, attention_mask=real, use_cache=False, output_hidden_states=True)
                own = mask.chunk(2)[1][:, 1:].float()
                seen = Places(said.hidden_states[-1][:, :-1], said.logits[:, :-1], ids[:, 1:], own)
            (chosen, rejected), tokens, references = sums.chunk(2), mask.sum(-1).chunk(2), held.chunk(2)
            gains = (chosen - references[0]) - (rejected - references[1])
            self._metrics["train"]["margin"].append(gains.detach().mean().item())
            self._metrics["train"]["chosen"].append(chosen.detach().mean().item())
            batch = Pairs(
                chosen=chosen,
                rejected=rejected,
                chosen_tokens=tokens[0],
                rejected_tokens=tokens[1],
                chosen_reference=references[0],
                rejected_reference=references[1],
                numbers=inputs["numbers"],
                places=seen,
                tokens=Tokens(now, before, inputs.get("known")),
            )
            return loss(batch).mean()

    model, tokenizer = load(job.start, job.schedule.lora)
    more = [{"numbers": own} for own in numbers or [[]] * len(preferences)]
    if known is not None:
        more = [{**own, "known": sides} for own, sides in zip(more, known, strict=True)]
    trainer = PairTrainer(
        model=model,
        ref_model=frozen(job.reference, job.start, job.schedule.lora),
        args=configured(DPOConfig, job, model, max_length=None, precompute_ref_log_probs=job.reference is None),
        data_collator=Collator(pad_token_id=tokenizer.pad_token_id),
        train_dataset=dataset(pair_rows(tokenizer, preferences, more)),
        processing_class=tokenizer,
        peft_config=adapter(job.schedule.lora, job.schedule.seed),
    )
    only_logprobs(trainer)
    # a checkpoint does not store what a loss itself learns at the places, so such training starts over
    trained = train(trainer, tokenizer, job, kept=not places)
    report(trainer, job.log, {"margin": "margin", "chosen": "chosen_logprob"})
    return trained


def win_rates(pair: Preference) -> tuple[float, float]:
    """How often the chosen and the rejected completion win against the model's own, as `sppo_pairs` has noted it.

    Raises:
        DataError: the pair is without.
    """
    try:
        return float(pair.info["p_chosen"]), float(pair.info["p_rejected"])
    except KeyError:
        raise DataError(
            "a pair has no win rates: add the selection sppo_pairs, or set optimization.sppo.hard"
        ) from None


def pair_rows(
    tokenizer: Any, preferences: Sequence[Preference], more: Sequence[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Pairs for TRL's preference collator, each with its further columns if there are any.

    A side is one row, also if the template shows earlier turns differently, because its preference is about all of the
    assistant's messages. A pair with an empty completion is left out, because it has no token to make less likely.

    Raises:
        DataError: there are no other pairs, or one does not begin with the assistant.
    """
    given = more or [{}] * len(preferences)
    said = joined(tokenizer, [side for preference in preferences for side in preference.sides])
    rows = []
    for chosen, rejected, own in zip(said[::2], said[1::2], given, strict=True):
        longest = max(len(chosen.ids), len(rejected.ids))
        if chosen.prompt != rejected.prompt:
            raise DataError("both completions of a pair must begin with the assistant; put what comes before in prompt")
        if chosen.completion and rejected.completion:
            told = sides(chosen=chosen, rejected=rejected)
            rows.append({"prompt_ids": chosen.prompt, **told, "length": longest, **own})
    if not rows:
        raise DataError(f"there is nothing to train on: none of {len(preferences)} pairs has two answers with a token")
    return without_needless(rows)


def _learned(made: dict[str, Any], examples: list[dict[str, Any]]) -> dict[str, Any]:
    """The output of TRL's collator for pairs, with masks of the assistant's tokens."""
    for side, mask in zip(("chosen", "rejected"), made["completion_mask"].chunk(2), strict=True):
        unmark(mask, examples, side)
    return made


def _spread(rows: Sequence[Sequence[float]], made: dict[str, Any]) -> Any:
    """The numbers of the learned tokens at their places, shifted like the log-probabilities of a forward pass.

    Raises:
        DataError: a row has another number of learned tokens.
    """
    import torch

    mask = made["completion_mask"].bool()
    if [len(row) for row in rows] != mask.sum(-1).tolist():
        raise DataError("the engine scored other tokens of these pairs than training learns; use engine=transformers")
    flat = torch.tensor([number for row in rows for number in row], dtype=torch.float32)
    return torch.zeros(mask.shape).masked_scatter(mask, flat)[:, 1:]
