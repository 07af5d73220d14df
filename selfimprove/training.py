"""Thin, lazy calls into TRL: the one place that touches it.

Rows are tokenized here, with the functions that the engines use, so the trainer sees the tokens that were sampled.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, StorageError
from selfimprove.interfaces import Log
from selfimprove.records import Checkpoint, Preference, Prompt, Rollout
from selfimprove.text import completions_ids, prompts_ids


@dataclass(kw_only=True)
class Schedule:
    """Trainer options shared by all methods that train; the names and meanings are TRL's."""

    learning_rate: float
    max_steps: int = -1
    num_train_epochs: float = 1.0
    per_device_train_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    warmup_steps: int = 0
    lr_scheduler_type: str = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    adam_beta2: float = 0.999
    train_sampling_strategy: str = "group_by_length"
    """`group_by_length` fills batches with rows of like length; `sequential` keeps the given order."""
    seed: int = 0


def schedule_of(options: Any, seed: int) -> Schedule:
    """The schedule in a method's options of the same names; what the method does not offer keeps its default."""
    names = (field.name for field in fields(Schedule) if field.name != "seed")
    return Schedule(**{name: getattr(options, name) for name in names if hasattr(options, name)}, seed=seed)


Check = Callable[[int, Any], bool]
"""(step, model) -> True to stop training there."""


class Peak:
    """Keeps the best weights of a training run by a score on problems, and ends it at a cliff.

    A round can rise and collapse within a few steps, and penalties on the distance from the start do not prevent it
    (arXiv:2606.21090): so measure on the way, stop at a fall of `drop` or `errors` standard errors below the peak,
    whichever is more, and put the weights of the peak back.
    """

    def __init__(self, measure: Callable[[int, Any], float], n: int, drop: float = 0.05, errors: float = 3.0) -> None:
        self.measure, self.n, self.drop, self.errors = measure, n, drop, errors
        self.step, self.best = -1, -1.0
        self._weights: dict[str, Any] = {}
        self._seen = -1

    def __call__(self, step: int, model: Any) -> bool:
        """Measure; True at a cliff. The later of two equal scores is the peak."""
        score, self._seen = self.measure(step, model), step
        if score >= self.best:
            self.step, self.best = step, score
            self._weights = {name: weight.detach().clone() for name, weight in model.state_dict().items()}
        error = math.sqrt(max(0.0, self.best * (1 - self.best)) / self.n)
        return score < self.best - max(self.drop, self.errors * error)

    def restore(self, step: int, model: Any) -> None:
        """Measure the last step as well, then put the weights of the peak back."""
        if step != self._seen:
            self(step, model)
        model.load_state_dict(self._weights)


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
            return sum(sums).to(device)  # type: ignore[union-attr]

        def compute_loss(self, model: Any, inputs: Any, return_outputs: Any = False, num_items_in_batch: Any = None):
            weight = inputs.pop("weight")
            outputs = model(**inputs, use_cache=False, fused_lm_head=True)
            return -(outputs.log_probs.sum(-1) * weight).sum() / num_items_in_batch

    model, tokenizer = load(checkpoint)
    prompts = prompts_ids(tokenizer, [rollout.prompt.prompt for rollout in rollouts])
    ended = [not rollout.truncated for rollout in rollouts]
    completions = completions_ids(tokenizer, [rollout.completion for rollout in rollouts], ended)
    rows = []
    for prompt, completion in zip(prompts, completions, strict=True):
        both = prompt + completion
        rows.append({"input_ids": both, "labels": [-100] * len(prompt) + completion, "length": len(both)})
    arguments = SFTConfig(
        **_arguments(folder, schedule, model),
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
        args=arguments,
        train_dataset=_dataset(rows),
        data_collator=collator,
        processing_class=tokenizer,
        callbacks=[_callback(log, check, check_every)],
    )
    return _train(trainer, tokenizer, folder, log, _dtype(checkpoint), check if isinstance(check, Peak) else None)


def dpo(
    checkpoint: Checkpoint,
    preferences: Sequence[Preference],
    folder: Path,
    schedule: Schedule,
    log: Log,
    *,
    loss_type: Sequence[str],
    loss_weights: Sequence[float] | None,
    beta: float,
    reference: Checkpoint,
) -> Checkpoint:
    """Preference optimization with any of TRL's DPO losses against a frozen reference; saves to `folder`.

    Raises:
        DataError: the loss is not a number.
    """
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    class TokenizedDPOTrainer(DPOTrainer):
        """Takes rows that are tokenized already; TRL would tokenize prompt and completion as one text again."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    model, tokenizer = load(checkpoint)
    arguments = DPOConfig(
        **_arguments(folder, schedule, model),
        loss_type=list(loss_type),
        loss_weights=list(loss_weights) if loss_weights else None,
        beta=beta,
        max_length=None,
    )
    trainer = TokenizedDPOTrainer(
        model=model,
        ref_model=load(reference)[0],
        args=arguments,
        train_dataset=_dataset(_pair_rows(tokenizer, preferences)),
        processing_class=tokenizer,
        callbacks=[_callback(log, None, 0)],
    )
    return _train(trainer, tokenizer, folder, log, _dtype(checkpoint))


@dataclass(frozen=True)
class Pairs:
    """A batch of pairs as a loss sees it: tensors with one number for each pair."""

    chosen: Any
    """The sum of the log-probabilities of the chosen completion's tokens."""
    rejected: Any
    chosen_tokens: Any
    rejected_tokens: Any
    chosen_reference: Any
    """The same sum under the reference; 0 without one."""
    rejected_reference: Any
    numbers: Any
    """What the method gave with each pair: (pairs, numbers)."""


def pairs(
    checkpoint: Checkpoint,
    preferences: Sequence[Preference],
    folder: Path,
    schedule: Schedule,
    log: Log,
    loss: Callable[[Pairs], Any],
    *,
    reference: Checkpoint | None,
    numbers: Sequence[Sequence[float]] | None = None,
) -> Checkpoint:
    """Preference optimization with a loss of one's own, by TRL's DPO trainer; saves to `folder`.

    Args:
        loss: of a batch, one number for each pair; their mean is trained on.
        reference: None trains without one, and no second model is loaded.
        numbers: what `loss` needs to know of each pair beside its completions.

    Raises:
        DataError: the loss is not a number.
    """
    import torch
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

    class Collator(DataCollatorForPreference):
        """Hands the numbers of the rows on."""

        def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
            given = torch.tensor([example["numbers"] for example in examples], dtype=torch.float32)
            return {**super().torch_call(examples), "numbers": given}

    class PairTrainer(DPOTrainer):
        """Takes rows that are tokenized already, and any loss."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset  # asked for only to keep TRL from loading a reference

        def _compute_loss(self, model: Any, inputs: Any, return_outputs: Any) -> Any:
            mask = inputs["completion_mask"]
            given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
            given |= {"labels": inputs["input_ids"].masked_fill(mask == 0, -100), "use_cache": False}
            sums = model(**given, fused_lm_head=True).log_probs.sum(-1)
            held = torch.zeros_like(sums)
            frozen: Any = self.ref_model
            if frozen is not None:
                with torch.no_grad():
                    held = frozen(**given, fused_lm_head=True).log_probs.sum(-1)
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
            )
            return loss(batch).mean()

    model, tokenizer = load(checkpoint)
    rows = _pair_rows(tokenizer, preferences)
    known = [[]] * len(rows) if numbers is None else numbers
    trainer = PairTrainer(
        model=model,
        ref_model=None if reference is None else load(reference)[0],
        args=DPOConfig(
            **_arguments(folder, schedule, model), max_length=None, precompute_ref_log_probs=reference is None
        ),
        data_collator=Collator(pad_token_id=tokenizer.pad_token_id),
        train_dataset=_dataset([{**row, "numbers": given} for row, given in zip(rows, known, strict=True)]),
        processing_class=tokenizer,
        callbacks=[_callback(log, None, 0)],
    )
    trained = _train(trainer, tokenizer, folder, log, _dtype(checkpoint))
    _report(trainer, log, {"margin": "margin", "chosen": "chosen_logprob"})
    return trained


def kto(
    checkpoint: Checkpoint,
    rollouts: Sequence[Rollout],
    good: Sequence[bool],
    folder: Path,
    schedule: Schedule,
    log: Log,
    *,
    reference: Checkpoint,
    **options: Any,
) -> Checkpoint:
    """KTO on single completions, each good or bad, with TRL's KTO trainer; saves to `folder`.

    Args:
        options: fields of TRL's KTOConfig.

    Raises:
        DataError: the loss is not a number.
    """
    from trl.trainer.kto_config import KTOConfig
    from trl.trainer.kto_trainer import KTOTrainer

    class TokenizedKTOTrainer(KTOTrainer):
        """Takes rows that are tokenized already."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    model, tokenizer = load(checkpoint)
    prompts = prompts_ids(tokenizer, [rollout.prompt.prompt for rollout in rollouts])
    ended = [not rollout.truncated for rollout in rollouts]
    completions = completions_ids(tokenizer, [rollout.completion for rollout in rollouts], ended)
    order = random.Random(schedule.seed).sample(range(len(prompts)), len(prompts))
    rows, size = [], schedule.per_device_train_batch_size
    for first in range(0, len(order), size):
        batch = order[first : first + size]
        for place, before in zip(batch, [batch[-1], *batch[:-1]], strict=True):
            row = {"prompt_ids": prompts[place], "completion_ids": completions[place], "label": bool(good[place])}
            # the divergence is measured on the batch's own completions, each after the prompt of another
            rows.append({**row, "KL_completion_ids": completions[before]})
    trainer = TokenizedKTOTrainer(
        model=model,
        ref_model=load(reference)[0],
        args=KTOConfig(
            **_arguments(folder, replace(schedule, train_sampling_strategy="sequential"), model),
            max_length=None,
            **options,
        ),
        train_dataset=_dataset(rows),
        processing_class=tokenizer,
        callbacks=[_callback(log, None, 0)],
    )
    trained = _train(trainer, tokenizer, folder, log, _dtype(checkpoint))
    _report(trainer, log, {"kl": "kl", "rewards/chosen": "reward_good", "rewards/rejected": "reward_bad"})
    return trained


def _pair_rows(tokenizer: Any, preferences: Sequence[Preference]) -> list[dict[str, Any]]:
    """Pairs as TRL's preference collator takes them."""
    ended = [True] * len(preferences)
    columns = (
        prompts_ids(tokenizer, [preference.prompt.prompt for preference in preferences]),
        completions_ids(tokenizer, [preference.chosen for preference in preferences], ended),
        completions_ids(tokenizer, [preference.rejected for preference in preferences], ended),
    )
    rows = []
    for prompt, chosen, rejected in zip(*columns, strict=True):
        longest = len(prompt) + max(len(chosen), len(rejected))
        rows.append({"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected, "length": longest})
    return rows


Mark = Callable[[Sequence[Rollout]], Sequence[Rollout]]
"""The recipe's reward: rollouts in, the same rollouts with scores out."""


@dataclass
class Tally:
    """What an online method has seen of its own samples."""

    groups: int = 0
    equal: int = 0
    """Groups without two different scores: nothing can be learned from them."""
    redrawn: int = 0
    completions: int = 0
    unscored: int = 0
    means: list[float] = field(default_factory=list)
    """The mean score of each batch that has one."""

    def add(self, groups: Sequence[Sequence[float | None]]) -> None:
        """Count the scores of a batch."""
        known = [score for group in groups for score in group if score is not None]
        self.groups += len(groups)
        self.equal += sum(map(_equal, groups))
        self.completions += sum(map(len, groups))
        self.unscored += sum(map(len, groups)) - len(known)
        if known:
            self.means.append(sum(known) / len(known))

    def report(self, log: Log) -> None:
        """The counts as metrics; the mean score of the first and of the last quarter of the batches."""
        quarter = math.ceil(len(self.means) / 4)
        for name, part in (("first", self.means[:quarter]), ("last", self.means[-quarter:])):
            if part:
                log.metric(f"train/reward_{name}", sum(part) / len(part))
        log.metric("train/completions", self.completions)
        log.metric("train/unscored", self.unscored)
        log.metric("train/equal_groups", self.equal / max(1, self.groups))
        log.metric("train/redrawn_groups", self.redrawn)


def _equal(scores: Sequence[float | None]) -> bool:
    return len({score for score in scores if score is not None}) < 2


def online(
    algorithm: str,
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    folder: Path,
    schedule: Schedule,
    log: Log,
    *,
    reward: Mark,
    reference: Checkpoint,
    redraw: int = 0,
    **options: Any,
) -> Checkpoint:
    """Policy gradient on the model's own samples with TRL's GRPO or RLOO trainer; saves to `folder`.

    The reward is asked once for each batch of completions, with the groups of all of its prompts whole.

    Args:
        algorithm: `grpo` or `rloo`.
        redraw: times that groups with equal scores are drawn again, of other prompts.
        options: fields of TRL's GRPOConfig or RLOOConfig.

    Raises:
        DataError: too few prompts for a batch, or the loss is not a number.
    """
    if algorithm == "grpo":
        from trl.trainer.grpo_config import GRPOConfig as Config
        from trl.trainer.grpo_trainer import GRPOTrainer as Base
    else:
        from trl.trainer.rloo_config import RLOOConfig as Config
        from trl.trainer.rloo_trainer import RLOOTrainer as Base

    model, tokenizer = load(checkpoint)
    size, accumulated = schedule.per_device_train_batch_size, schedule.gradient_accumulation_steps
    wanted = size * accumulated // options["num_generations"]
    if len(prompts) < wanted:
        raise DataError(f"{len(prompts)} prompts are too few: one optimizer step of {algorithm} takes {wanted}")
    ids, tally = prompts_ids(tokenizer, [prompt.prompt for prompt in prompts]), Tally()
    order = random.Random(schedule.seed).sample(range(len(prompts)), len(prompts))
    spare, each = itertools.cycle(order), options["num_generations"]

    class Online(Base):  # type: ignore[misc, valid-type]
        """Tokenizes prompts as the engines do, and asks the recipe's reward.

        A row's `prompt` is the place of the prompt in the list, so that TRL has no text to tokenize in its own way.
        """

        places: list[int]
        scores: list[float | None]

        def _tokenize_prompts(self, prompts: list[str]) -> Any:
            self.places = [int(place) for place in prompts]
            return [ids[place] for place in self.places], None, {}

        def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any, **named: Any) -> Any:
            made = self._drawn(prompt_ids, *rest, **named)
            drawn = made if algorithm == "rloo" else made[0]
            self.scores = self._scores(self.places, drawn)
            for _ in range(redraw):
                stale = [start for start in range(0, len(drawn), each) if _equal(self.scores[start : start + each])]
                if not stale:
                    break
                tally.redrawn += len(stale)
                for start in stale:
                    self.places[start : start + each] = [next(spare)] * each
                rows = [row for start in stale for row in range(start, start + each)]
                places = [self.places[row] for row in rows]
                again = self._drawn([ids[place] for place in places], *rest, **named)
                again = again if algorithm == "rloo" else again[0]
                for row, completion, score in zip(rows, again, self._scores(places, again), strict=True):
                    # TRL goes on with these very lists
                    prompt_ids[row], drawn[row], self.scores[row] = ids[self.places[row]], completion, score
            tally.add([self.scores[start : start + each] for start in range(0, len(drawn), each)])
            return made

        def _drawn(self, *given: Any, **named: Any) -> Any:
            try:
                return super()._generate_single_turn(*given, **named)
            except RuntimeError as error:
                if "probability tensor" not in str(error):
                    raise
                raise _diverged("the probabilities are no numbers", self.state.global_step, self.args) from error

        def _scores(self, places: list[int], drawn: list[list[int]]) -> list[float | None]:
            ended = [bool(one) and one[-1] in self.eos_token_ids for one in drawn]
            bare = [one[:-1] if end else one for one, end in zip(drawn, ended, strict=True)]
            texts = tokenizer.batch_decode(bare, skip_special_tokens=True)
            rollouts = [
                Rollout(
                    prompt=prompts[place],
                    completion=[{"role": "assistant", "content": text}],
                    info={"finish_reason": "stop" if end else "length"},
                )
                for place, text, end in zip(places, texts, ended, strict=True)
            ]
            return [rollout.score for rollout in reward(rollouts)]

    def recipe_reward(**_: Any) -> list[float | None]:
        return trainer.scores

    model.config._name_or_path = reference.path  # from here TRL loads its reference, where beta asks for one
    trainer = Online(
        model=model,
        reward_funcs=[recipe_reward],
        args=Config(**_arguments(folder, schedule, model), **options),
        train_dataset=_dataset([{"prompt": str(place)} for place in range(len(prompts))]),
        processing_class=tokenizer,
        callbacks=[_callback(log, None, 0)],
    )
    trained = _train(trainer, tokenizer, folder, log, _dtype(checkpoint))
    tally.report(log)
    _report(trainer, log, {"entropy": "entropy", "kl": "kl"})
    return trained


def load(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Model and tokenizer of a checkpoint, for training."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint.path)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(
        checkpoint.path,
        dtype=torch.float32,  # in bfloat16 most weights are too coarse for a step of the usual learning rates
        use_safetensors=True,
        trust_remote_code=False,
    )
    return model, tokenizer


def _dtype(checkpoint: Checkpoint) -> Any:
    """The number type that the checkpoint's weights are stored in."""
    import torch
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(checkpoint.path).dtype or torch.float32


def _report(trainer: Any, log: Log, names: dict[str, str]) -> None:
    """The last values that a trainer logged, as metrics of the step."""
    for logged, name in names.items():
        values = [entry[logged] for entry in trainer.state.log_history if logged in entry]
        if values:
            log.metric(f"train/{name}", values[-1])


def save(model: Any, tokenizer: Any, folder: Path) -> Checkpoint:
    """A plain `save_pretrained` folder: safetensors, config, generation config, tokenizer, chat template."""
    from safetensors import SafetensorError

    try:
        model.generation_config.validate(strict=True)
    except ValueError:  # many published models name a temperature but not do_sample, which cannot be saved
        model.generation_config.do_sample = True
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except SafetensorError as error:  # it hides the OSError of a full disk in its text
        raise StorageError(f"cannot write the weights to {folder}: {error}") from error
    return Checkpoint(path=str(folder))


def _dataset(rows: list[dict[str, Any]]) -> Any:
    from datasets import Dataset

    return Dataset.from_list(rows)


def _arguments(folder: Path, schedule: Schedule, model: Any) -> dict[str, Any]:
    import torch

    gpu = torch.cuda.is_available()
    return {
        **vars(schedule),
        "output_dir": str(folder),
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": 10,
        "logging_nan_inf_filter": False,  # else a loss that is no number is logged as the mean of the others
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not gpu,
        "bf16": gpu
        and torch.cuda.is_bf16_supported()
        and model.dtype == torch.float32
        and model.num_parameters() > 1e8,
        "gradient_checkpointing": gpu and model.num_parameters() > 1e9,
        "remove_unused_columns": False,
        "dataloader_pin_memory": gpu,
    }


def _callback(log: Log, check: Check | None, check_every: int) -> Any:
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            log.progress(state.global_step, state.max_steps, "steps")
            if check and state.global_step % check_every == 0:
                model = kwargs["model"]
                model.eval()
                control.should_training_stop |= check(state.global_step, model)
                model.train()

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is not None and not math.isfinite(loss):
                raise _diverged(f"the training loss became {loss}", state.global_step, args)

    return Progress()


def _diverged(what: str, step: int, args: Any) -> DataError:
    return DataError(f"{what} at step {step}; nothing was saved. Try a lower learning_rate than {args.learning_rate:g}")


def _train(trainer: Any, tokenizer: Any, folder: Path, log: Log, dtype: Any, peak: Peak | None = None) -> Checkpoint:
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()
    if not all(bool(weight.isfinite().all()) for weight in trainer.model.parameters()):
        raise _diverged("the weights are no longer finite", trainer.state.global_step, trainer.args)
    if peak is not None:
        peak.restore(trainer.state.global_step, trainer.model.eval())
        log.metric("train/peak_step", peak.step)
        log.metric("train/peak_score", peak.best)
    history = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if history:
        log.metric("train/loss", history[-1])
    log.metric("train/steps", trainer.state.global_step)
    return save(trainer.model.to(dtype), tokenizer, folder)
