"""Training steps per second: our calls against TRL's trainers as a user would call them, with the same settings.

For each method, the same rows, model, batch size and number of steps go through `selfimprove.training` and through
TRL's trainer on texts, in turns, so that a machine that slows down for a minute slows both. Two ratios come of it, ours
over TRL's, of CPU time, which other programs disturb less than wall time:
  step   the seconds inside `Trainer.train`, where all steps are; the goal is at most 1.05;
  call   the whole call: loading, tokenizing, training, saving.
The model is the tiny one with random weights; what a step costs beside the model weighs most there. One call of each
before the repeats warms everything up.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import bench

from selfimprove.logs import Silent


class Clock:
    """The seconds of CPU and wall time inside of `Trainer.train` since it was last asked."""

    def __init__(self) -> None:
        from transformers import Trainer

        self.cpu = self.wall = 0.0
        plain = Trainer.train

        def timed(trainer: Any, *given: Any, **named: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            result = plain(trainer, *given, **named)
            self.wall, self.cpu = time.perf_counter() - wall, time.process_time() - cpu
            return result

        setattr(Trainer, "train", timed)  # noqa: B010


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100, help="steps of sft and dpo; grpo makes a fifth of them")
    parser.add_argument("--methods", nargs="+", default=["sft", "dpo", "grpo"], choices=["sft", "dpo", "grpo"])
    options = parser.parse_args()
    machine = bench.machine()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        given, clock = prepared(Path(folder)), Clock()
        for method in options.methods:
            steps = max(2, options.steps // 5) if method == "grpo" else options.steps
            found: dict[str, list[dict[str, float]]] = {"ours": [], "trl": []}
            for repeat in range(options.repeats + 1):
                turns = [("ours", OURS[method]), ("trl", TRL[method])]
                for name, call in turns if repeat % 2 else turns[::-1]:
                    place = given.folder / f"{method}-{name}-{repeat}"
                    place.mkdir()
                    timed = measured(call, replace(given, folder=place), steps if repeat else 2, clock)
                    if repeat:
                        found[name].append(timed)
            pairs = list(zip(found["ours"], found["trl"], strict=True))
            rows.append(
                {
                    "method": method,
                    **{f"{name} steps/s": steps / statistics.median(t["wall"] for t in found[name]) for name in found},
                    "step ratio": statistics.median(ours["cpu"] / trl["cpu"] for ours, trl in pairs),
                    "call ratio": statistics.median(ours["call"] / trl["call"] for ours, trl in pairs),
                    "lowest step ratio": min(ours["cpu"] / trl["cpu"] for ours, trl in pairs),
                    "highest step ratio": max(ours["cpu"] / trl["cpu"] for ours, trl in pairs),
                }
            )
    bench.show(list(rows[0]), [list(row.values()) for row in rows])
    for row in rows:
        print(f"{row['method']}: {row['step ratio']:.3f} of TRL's CPU time a step, {row['call ratio']:.3f} of a call's")
    bench.save(options.json, machine, rows=rows)


def measured(call: Callable[[Any, int], None], given: Any, steps: int, clock: Clock) -> dict[str, float]:
    """The CPU seconds of a whole call, and the CPU and wall seconds of its training."""
    began = time.process_time()
    call(given, steps)
    return {"call": time.process_time() - began, "cpu": clock.cpu, "wall": clock.wall}


def prepared(root: Path) -> Any:
    """A context that trains from the tiny model with random weights."""
    from selfimprove.loop import begin, loop, steps

    changes = ["rounds=0", "gate_problems=2", "sealed_problems=2", "probe_problems=0", "audit_problems=0"]
    changes += ["model.tiny.max_steps=1", "model.tiny.probes=1", "control_problems=0"]
    run = loop.Runner(begin.create("quickstart", changes, root / "run"), Silent())
    run.run()
    folder = root / "calls"
    folder.mkdir()
    return replace(
        steps.context(run.stored, 1, "optimization", folder, Silent()),
        reward=lambda drawn: [replace(one, reward=share(one.text)) for one in drawn],
    )


def share(text: str) -> float:
    """The reward: the share of digits in a completion."""
    return sum(map(str.isdigit, text)) / max(1, len(text))


def lessons(n: int = 256) -> list[Any]:
    """Worked sums."""
    from selfimprove.methods.task.chain_sums import ChainSums

    return ChainSums().demonstrations("solve", n, 0)


SHARED: dict[str, Any] = {"learning_rate": 1e-4, "per_device_train_batch_size": 16}


def our_sft(given: Any, steps: int) -> None:
    from selfimprove.methods.optimization.sft import Sft

    Sft(**SHARED, max_steps=steps).optimize(lessons(), given)


def our_dpo(given: Any, steps: int) -> None:
    from selfimprove.methods.optimization.dpo import Dpo
    from selfimprove.records import Preference

    said = lessons()
    pairs = [
        Preference(prompt=one.prompt, chosen=one.completion, rejected=other.completion)
        for one, other in itertools.pairwise(said)
    ]
    Dpo(**SHARED, max_steps=steps).optimize(pairs, given)


def our_grpo(given: Any, steps: int) -> None:
    from selfimprove.methods.optimization.grpo import Grpo

    Grpo(**SHARED, max_steps=steps, max_completion_length=24).optimize([one.prompt for one in lessons()], given)


def settings(given: Any, steps: int) -> dict[str, Any]:
    """What a user would set on a CPU, and what our calls set as well."""
    return {
        **SHARED,
        "max_steps": steps,
        "output_dir": str(given.folder),
        "save_strategy": "no",
        "logging_steps": 10,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "group_by_length",
        "dataloader_pin_memory": False,
    }


def loaded(given: Any) -> tuple[Any, Any]:
    """Model and tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = given.start.path
    return AutoModelForCausalLM.from_pretrained(path, dtype="float32"), AutoTokenizer.from_pretrained(path)


def carried_out(trainer: Any, given: Any) -> None:
    """Train and save."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    trainer.train()
    trainer.save_model(str(given.folder / "model"))


def texts() -> list[tuple[str, str]]:
    """Prompts and completions as the tiny model reads them, which has no chat template."""
    return [(one.prompt.prompt[-1]["content"], one.text) for one in lessons()]


def trl_sft(given: Any, steps: int) -> None:
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    model, tokenizer = loaded(given)
    rows = Dataset.from_list([{"prompt": prompt, "completion": text} for prompt, text in texts()])
    args = SFTConfig(**settings(given, steps), completion_only_loss=True)
    carried_out(SFTTrainer(model=model, args=args, train_dataset=rows, processing_class=tokenizer), given)


def trl_dpo(given: Any, steps: int) -> None:
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    model, tokenizer = loaded(given)
    said = texts()
    pairs = [{"prompt": p, "chosen": text, "rejected": other[1]} for (p, text), other in itertools.pairwise(said)]
    values = settings(given, steps)
    del values["train_sampling_strategy"]  # TRL groups no pairs by length: it pads more
    trainer = DPOTrainer(
        model=model,
        ref_model=loaded(given)[0],
        args=DPOConfig(**values, beta=0.1, max_length=None),
        train_dataset=Dataset.from_list(pairs),
        processing_class=tokenizer,
    )
    carried_out(trainer, given)


def trl_grpo(given: Any, steps: int) -> None:
    from datasets import Dataset
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    def scores(completions: Sequence[str], **_: Any) -> list[float | None]:
        return [share(text) for text in completions]

    model, tokenizer = loaded(given)
    args = GRPOConfig(**settings(given, steps), loss_type="grpo", num_generations=8, max_completion_length=24, beta=0.0)
    rows = Dataset.from_list([{"prompt": prompt} for prompt, _ in texts()])
    trainer = GRPOTrainer(model=model, reward_funcs=[scores], args=args, train_dataset=rows, processing_class=tokenizer)
    carried_out(trainer, given)


OURS = {"sft": our_sft, "dpo": our_dpo, "grpo": our_grpo}
TRL = {"sft": trl_sft, "dpo": trl_dpo, "grpo": trl_grpo}


if __name__ == "__main__":
    main()
