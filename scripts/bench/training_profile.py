"""Where the seconds of training go, in the rounds of the quickstart, against those of a bare loop.

Each part is timed by a clock around its call; what one part calls of another counts for the other alone. So the rows
add up to the whole step. `bare` is the loop of same_work.py on as many rows, in the same process, afterwards: its
seconds are those of batches, a forward pass, a backward pass, clipping and AdamW, and nothing else. All are seconds of
CPU time, which other programs disturb less than wall time.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bench

SHORT = ["gate=always", "gate_problems=20", "sealed_problems=20"]


class Clock:
    """The seconds of CPU time of each part."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0

    def _turn(self, part: str | None) -> None:
        """End what is timed now, and begin a part or go back to the one around it."""
        now = time.process_time()
        if self._open:
            self.spent[self._open[-1]] = self.spent.get(self._open[-1], 0.0) + now - self._since
        if part is None:
            self._open.pop()
        else:
            self._open.append(part)
        self._since = time.process_time()

    def around(self, part: str, place: Any, name: str) -> None:
        """Time the calls of a function that a module or a class has under a name."""
        plain: Callable[..., Any] = getattr(place, name)

        @functools.wraps(plain)
        def timed(*given: Any, **named: Any) -> Any:
            self._turn(part)
            try:
                return plain(*given, **named)
            finally:
                self._turn(None)

        setattr(place, name, timed)


def watched() -> Clock:
    """A clock around every part of a step of SFT."""
    import transformers
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer
    from trl.trainer.sft_trainer import SFTTrainer

    from selfimprove.methods.optimization.sft import Sft
    from selfimprove.training.trl import sft, trainer

    clock = Clock()
    for part, place, name in (
        ("the rest of the step", Sft, "optimize"),
        ("load the weights", sft, "load"),
        ("tokenize", sft, "rows_of"),
        ("the rows as a data set", sft, "dataset"),
        ("build the trainer", SFTTrainer, "__init__"),
        ("the trainer's own loop", transformers.Trainer, "train"),
        ("batches, with the collator", transformers.Trainer, "get_batch_samples"),
        ("forward, loss and backward", transformers.Trainer, "training_step"),
        ("clip the gradients", Accelerator, "clip_grad_norm_"),
        ("AdamW", AcceleratedOptimizer, "step"),
        ("save the weights", trainer, "save"),
    ):
        clock.around(part, place, name)
    return clock


def main() -> None:
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("overrides", nargs="*", help="changes to the recipe, for example rounds=2")
    options = parser.parse_args()
    machine = bench.machine()
    import same_work

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        warm = [*SHORT, *options.overrides, "rounds=1", "acquisition.seed_prompts.problems=20"]
        same_work.selfimprove_rounds([*warm, "optimization.sft.max_steps=2"], root / "warm")
        clock = watched()
        same_work.selfimprove_rounds([*SHORT, *options.overrides], root / "timed")
        clock.around("bare", same_work.Llama, "train")
        same_work.bare_rounds(same_work.same(root / "timed"), root / "bare", 0)
    bare = clock.spent.pop("bare")
    whole = sum(clock.spent.values())
    parts = sorted(clock.spent.items(), key=lambda pair: -pair[1])
    rows = [[part, f"{seconds:.2f}", f"{100 * seconds / whole:.0f} %"] for part, seconds in parts]
    bench.show(["part", "s", "share"], rows)
    print(f"training {whole:.1f} s, the bare loop {bare:.1f} s")
    bench.save(options.json, machine, parts=dict(parts), whole=whole, bare=bare)


if __name__ == "__main__":
    main()
