"""The common arguments of TRL's trainers, and how they run."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

from selfimprove.costs import NOTHING, Cost, count
from selfimprove.errors import DataError, EngineError, MissingError
from selfimprove.inference import memory
from selfimprove.interfaces import Log
from selfimprove.logs import chart
from selfimprove.records import Checkpoint
from selfimprove.training.best_weights import Check, Peak
from selfimprove.training.generators import unmoved
from selfimprove.training.job import Job
from selfimprove.training.lora import merged
from selfimprove.training.model_io import load, local_rank, save
from selfimprove.training.options import Schedule, needs_liger
from selfimprove.training.steering import Steered
from selfimprove.training.trl.curves import curve
from selfimprove.training.trl.resume import Resumable, begin

LOGGED = 10
"""Training steps of which the log has one mean loss."""
WIDEST = 32768
"""Logits of a token that TRL has in memory at once."""


def dataset(rows: list[dict[str, Any]]) -> Any:
    """Rows as a data set for a trainer.

    A column of it is a list. That of `datasets` looks each number up when it is asked for, and sorting the rows by
    their lengths asks for each: a sixth of the time of training a tiny model.
    """
    from datasets import Dataset

    class Rows(Dataset):
        def __getitem__(self, key: Any) -> Any:
            found: Any = super().__getitem__(key)
            return found[:] if isinstance(key, str) else found

    return Rows.from_list(rows)


def arguments(folder: Path, schedule: Schedule, model: Any) -> dict[str, Any]:
    """The fields of a trainer's config that all methods share.

    Raises:
        MissingError: a named config file does not exist.
        EngineError: Liger's kernels are requested without a GPU or their package; or the GPU has too little memory for
            weights, gradients and optimizer.
    """
    import torch

    for name in ("fsdp_config", "deepspeed"):
        path = getattr(schedule, name)
        if path and not Path(path).is_file():
            raise MissingError(f"{name} names {path}, which does not exist; give the path of a JSON file")
    gpu = torch.cuda.is_available()
    if schedule.use_liger_kernel:
        needs_liger()
        if not gpu:
            raise EngineError("use_liger_kernel needs a CUDA GPU; set use_liger_kernel: false")
    if gpu and not (schedule.fsdp_config or schedule.deepspeed):
        memory.ready("training", _bytes(schedule, model), local_rank())
    coarse = gpu and torch.cuda.is_bf16_supported() and model.dtype == torch.float32 and model.num_parameters() > 1e8
    large = gpu and model.num_parameters() > 1e9
    shared = {name: value for name, value in vars(schedule).items() if name != "lora"}
    shared["fsdp"] = True if schedule.fsdp_config else None
    decay = shared.pop("decay_steps")
    if schedule.max_steps > 0:
        decay = min(decay, schedule.max_steps - schedule.warmup_steps)
    if decay > 0:
        shared["lr_scheduler_type"] = "warmup_stable_decay"
        shared["lr_scheduler_kwargs"] = {"num_decay_steps": decay, "min_lr_ratio": 0.01}
    return {
        **shared,
        "output_dir": str(folder),
        "save_strategy": "no",
        "logging_strategy": "steps",
        "logging_steps": LOGGED,
        "logging_nan_inf_filter": False,  # otherwise a NaN loss is logged as the mean of the others
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not gpu,
        "bf16": coarse if schedule.bf16 is None else schedule.bf16,
        "gradient_checkpointing": large if schedule.gradient_checkpointing is None else schedule.gradient_checkpointing,
        "remove_unused_columns": False,
        "dataloader_pin_memory": gpu,
    }


def _bytes(schedule: Schedule, model: Any) -> float:
    """GPU memory of training without activations, for a model that is not on the GPU yet unless it is in 4 bits."""
    if getattr(model, "is_loaded_in_4bit", False):
        return 0.0
    return (memory.FROZEN if schedule.lora.r else memory.TRAINED) * model.num_parameters()


def configured(kind: type, job: Job, model: Any, **options: Any) -> Any:
    """TRL's config of a trainer: the shared fields and the method's own.

    Raises:
        UserError: see `arguments`.
    """
    made = kind(**arguments(job.folder, job.schedule, model), **options)
    made._n_gpu = min(made.n_gpu, 1)  # one process that sees several GPUs would multiply the batch
    return made


def _progress(log: Log, check: Check | None, check_every: int, kept: Resumable | None) -> Any:
    """Shows progress, calls `check`, saves checkpoints, and ends training if the loss is not a number.

    After a stop request, training with checkpoints first saves one at the beginning of its next step, because only then
    the previous step is complete.
    """
    from transformers import TrainerCallback

    class Progress(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if kept:
                kept.train_begins()

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if kept:
                kept.pass_begins()

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if kept:
                kept.step_begins()

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            due = check is not None and state.global_step % check_every == 0
            try:
                log.progress(state.global_step, state.max_steps, "steps")
                if check and due:
                    control.should_training_stop |= look(check, state.global_step, kwargs["model"])
            except KeyboardInterrupt as stop:
                if not kept:
                    raise
                kept.stop, kept.unlooked = stop, due

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            loss = (logs or {}).get("loss")
            if loss is not None and not math.isfinite(loss):
                raise diverged(f"the training loss became {loss}", state.global_step, args)

    return Progress()


def look(check: Check, step: int, model: Any) -> bool:
    """The result of the check on the weights in training, without effect on training's random numbers."""
    model.eval()
    with unmoved():
        said = check(step, model)
    model.train()
    return said


def diverged(what: str, step: int, args: Any) -> DataError:
    """The error for training that reached NaN or infinity."""
    return DataError(f"{what} at step {step}; nothing was saved. Try a lower learning_rate than {args.learning_rate:g}")


def _narrow(vocabulary: int) -> None:
    """Make the buffer of TRL's chunked log-probabilities no wider than the vocabulary.

    It has 32,768 columns for each token of a batch, also where a vocabulary has 20 of them: then each token touches a
    page of memory of its own, twice a step.
    """
    from trl.trainer import utils

    utils._CHUNKED_LOGPROB_CHUNK_SIZE = min(WIDEST, vocabulary)


def _remember_packages() -> None:
    """Look for each package once: accelerate does so at every step, and reads metadata where it finds one."""
    from accelerate.utils import imports

    if not hasattr(imports._is_package_available, "cache_info"):
        imports._is_package_available = functools.cache(imports._is_package_available)


def train(
    trainer: Any,
    tokenizer: Any,
    job: Job,
    check: Check | None = None,
    check_every: int = 0,
    kept: bool = True,
    steered: Steered | None = None,
) -> Checkpoint:
    """Train, log the metrics, and save to `job.folder`: weights in float32, with the dtype of the start in the config.

    `check` is called every `check_every` steps and may stop training; with a `Peak` the best weights are saved, not the
    last.

    Args:
        kept: whether training may resume from its own checkpoint, if the run keeps any.
        steered: what chooses its rows; its state is part of such a checkpoint.

    Raises:
        DataError: the loss or the weights are not finite; nothing is saved.
    """
    from transformers.trainer_callback import PrinterCallback

    peak = check if isinstance(check, Peak) else None
    trainer.remove_callback(PrinterCallback)
    _narrow(trainer.model.config.get_text_config().vocab_size)
    _remember_packages()
    trainer.floating_point_ops = lambda inputs: 0  # an estimate, by a walk over all modules at every step
    going = begin(trainer, peak, job.log, steered) if kept else None
    trainer.add_callback(_progress(job.log, check, check_every, going))
    if going:
        going.run(lambda: check is not None and look(check, trainer.state.global_step, trainer.model))
    else:
        trainer.train()
    model = _gathered(trainer, job.start)
    if not trainer.accelerator.is_main_process:
        return Checkpoint(path=str(job.folder))  # the first process writes it
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        raise diverged("the weights are no longer finite", trainer.state.global_step, trainer.args)
    if peak is not None:
        peak.restore(trainer.state.global_step, model.eval())
        job.log.metric("train/peak_step", peak.step)
        job.log.metric("train/peak_score", peak.best)
    chart(curve(trainer.state.log_history))
    history = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    if history:
        job.log.metric("train/loss", history[-1])
    job.log.metric("train/steps", trainer.state.global_step)
    count(Cost(steps=trainer.state.global_step) + (NOTHING if peak is None else peak.cost))
    whole = load(job.start)[0] if getattr(model, "is_loaded_in_4bit", False) else None
    return save(merged(model, whole), tokenizer, job.folder, job.start)


def _gathered(trainer: Any, start: Checkpoint) -> Any:
    """The trained model; complete on the first process, also if FSDP or DeepSpeed sharded it."""
    if not trainer.is_fsdp_enabled and not trainer.is_deepspeed_enabled:
        return trainer.model
    state = trainer.accelerator.get_state_dict(trainer.deepspeed if trainer.is_deepspeed_enabled else trainer.model)
    if not trainer.accelerator.is_main_process:
        return trainer.model
    whole = load(start)[0]
    if hasattr(trainer.model, "peft_config"):
        from peft import get_peft_model

        whole = get_peft_model(whole, trainer.model.peft_config["default"])
    whole.load_state_dict(state)
    return whole


def only_logprobs(trainer: Any) -> None:
    """Have the fused output layer of the model in training give log-probabilities, without entropies and top tokens.

    TRL's trainers work these out over the whole vocabulary at every step, for their own log.
    """
    from trl.trainer.utils import add_fused_lm_head

    add_fused_lm_head(trainer.accelerator.unwrap_model(plain_model(trainer.model)), outputs=("log_probs",))


def without_statistics(trainer: Any) -> None:
    """The same for a trainer whose loss logs them: it gets zeros, and nobody reads what it logs of them."""
    only_logprobs(trainer)
    model = trainer.accelerator.unwrap_model(plain_model(trainer.model))
    fused = model.forward

    @functools.wraps(fused)
    def forward(*given: Any, fused_lm_head: bool = False, **named: Any) -> Any:
        made = fused(*given, fused_lm_head=fused_lm_head, **named)
        if fused_lm_head:
            made.entropy = made.mean_logits = made.log_probs.detach().new_zeros(made.log_probs.shape)
            made.is_top1 = made.entropy.bool()
        return made

    model.forward = forward


def plain_model(model: Any) -> Any:
    """The model itself, also where an adapter is around it."""
    from peft import PeftModel

    return model.get_base_model() if isinstance(model, PeftModel) else model


def report(trainer: Any, log: Log, names: dict[str, str]) -> None:
    """The last values that a trainer logged, as metrics of the step."""
    for logged, name in names.items():
        values = [entry[logged] for entry in trainer.state.log_history if logged in entry]
        if values:
            log.metric(f"train/{name}", values[-1])
