"""A character-level Llama, built here and bootstrapped on the task's worked examples: nothing to download.

Idea: a real language model that is small enough for a laptop and has room to improve. The bootstrap trains it up to a
target accuracy on selection problems, so that every seed starts from the same skill.
Survey: none; the test bench of every method.
Paper: none.
Algorithm:
  1. Build a Llama with random weights and a tokenizer with one token per printable ASCII character.
  2. Draw worked examples of the listed roles from the task, easy ones first.
  3. SFT on them; measure greedy accuracy on selection problems every `check_every` steps; stop at `target_accuracy`.
Differs: nothing to compare with.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from selfimprove import training
from selfimprove.bounds import bounded
from selfimprove.costs import Cost, Given
from selfimprove.errors import RecipeError
from selfimprove.interfaces import GREEDY, Engine, Log, Model, Task
from selfimprove.problems.around import around
from selfimprove.records import Checkpoint, Rollout
from selfimprove.registry import register

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))


@register("tiny")
@dataclass
class Tiny(Model):
    cached: ClassVar[bool] = True
    num_hidden_layers: int = bounded(2, 1, 100_000)
    """Transformer layers."""
    hidden_size: int = bounded(64, 1, 100_000)
    """Width."""
    intermediate_size: int = bounded(160, 1, 100_000)
    """Width of the feed-forward layers."""
    num_attention_heads: int = bounded(4, 1, 1_000_000)
    """Attention heads."""
    max_position_embeddings: int = bounded(256, 1, 1_000_000)
    """Context in characters."""
    position: str = "rope"
    """`rope`, or `none` for no position encoding."""
    roles: list[str] = field(default_factory=lambda: ["solve"])
    """Roles that the bootstrap teaches, with equal shares of the examples; one that is named twice has two shares."""
    teach_prompts: bool = False
    """Teach the text of problems too, not only the answers to them, so that the model can go on with `S:` alone."""
    max_steps: int = bounded(600, -1)
    """Most bootstrap steps."""
    examples: int | None = None
    """Worked examples to draw; if the steps need more, they are repeated. null draws as many as the steps need."""
    sort_within: int = bounded(0, 0, 1_000_000)
    """So many examples at a time are sorted by length, so that batches need little padding; 0 keeps their order."""
    target_accuracy: float = 0.4
    """Greedy accuracy on selection problems at which the bootstrap stops."""
    probes: int = bounded(300, 0)
    """Selection problems for the accuracy."""
    check_every: int = bounded(50, 1, 1_000_000)
    """Steps between two measurements."""
    learning_rate: float = bounded(1.5e-3, 0, 100)
    """Peak learning rate of the bootstrap."""
    warmup_steps: int = bounded(20, 0)
    """Warm-up steps of the learning rate; then it is constant."""
    decay_steps: int = 0
    """Number of steps at the end of max_steps over which the learning rate falls to a hundredth."""
    weight_decay: float = bounded(0.0, 0, 100)
    """AdamW's weight decay."""
    batch_size: int = bounded(32, 1)
    """Examples per bootstrap step."""
    threads: int = bounded(1, 0)
    """CPU threads of the run. The last bits of sums depend on the number of threads, so a fixed number makes a run
    repeatable on machines with more cores; a model this small gains little from a second thread. 0 uses torch's
    default."""
    initializer_range: float = 0.16
    """Standard deviation of the initial weights; at this width the usual 0.02 learns several times slower."""

    def preflight(self) -> list[str]:
        if self.position not in ("rope", "none"):
            raise RecipeError(f"model.tiny.position is {self.position!r}; it must be rope or none")
        if self.hidden_size % (2 * self.num_attention_heads):
            raise RecipeError(
                f"model.tiny.hidden_size is {self.hidden_size}; it must be a multiple of twice num_attention_heads, "
                f"{2 * self.num_attention_heads}"
            )
        return []

    def suits(self, task: Task) -> None:
        if not self.roles:
            raise RecipeError("model.tiny.roles is empty; the bootstrap teaches at least one, such as [solve]")
        for role in self.roles:
            task.demonstrations(role, 1, 0)

    def cost(self, given: Given) -> Cost:
        looks = -(-self.max_steps // self.check_every)
        return Cost(steps=self.max_steps) + given.draw(looks * self.probes)

    def context(self) -> int | None:
        return self.max_position_embeddings

    def cpu_threads(self) -> int:
        return self.threads

    def weights(self) -> int | None:
        width, inner, words = self.hidden_size, self.intermediate_size, len(ALPHABET) + 3
        layer = 4 * width * width + 3 * width * inner + 2 * width
        return 4 * (self.num_hidden_layers * layer + 2 * words * width + width)

    def build(self, task: Task, engine: Engine, folder: Path, seed: int, log: Log) -> Checkpoint:
        share = (self.examples or self.max_steps * self.batch_size) // len(self.roles)
        lessons = {role: iter(task.demonstrations(role, share * n, seed)) for role, n in Counter(self.roles).items()}
        whole = around(task.roles())[0] if self.teach_prompts else ""
        examples = [_whole(next(lessons[role]), whole) for _ in range(share) for role in self.roles]
        examples = sorted_within(examples, self.sort_within, self.batch_size, seed)
        problems = [prompt.blind() for prompt in task.problems("selection", self.probes, seed)]
        answers = task.problems("selection", self.probes, seed)
        start = self._untrained(folder / "scratch", seed)

        def reached(step: int, model: Any) -> bool:
            probe = training.save(model, training.load(start)[1], folder / "scratch" / str(step))
            groups = engine.sample(probe, problems, 1, GREEDY, seed, log)
            marks = [task.verify(prompt, group[0].text) or 0.0 for prompt, group in zip(answers, groups, strict=True)]
            accuracy = sum(marks) / len(marks)
            log.metric("bootstrap/accuracy", accuracy)
            return accuracy >= self.target_accuracy

        schedule = training.Schedule(
            learning_rate=self.learning_rate,
            max_steps=self.max_steps,
            per_device_train_batch_size=self.batch_size,
            warmup_steps=self.warmup_steps,
            lr_scheduler_type="constant_with_warmup",
            decay_steps=self.decay_steps,
            weight_decay=self.weight_decay,
            adam_beta2=0.98,
            train_sampling_strategy="sequential",
            seed=seed,
        )
        checkpoint = training.sft(training.Job(start, folder, schedule, log), examples, reached, self.check_every)
        shutil.rmtree(folder / "scratch")
        return checkpoint

    def _untrained(self, folder: Path, seed: int) -> Checkpoint:
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        tokenizer = _tokenizer()
        rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
        if (
            self.position == "none"
        ):  # a huge linear factor turns every angle into 0, in any program that loads the folder
            rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 1e9}
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=self.hidden_size,
            intermediate_size=self.intermediate_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            max_position_embeddings=self.max_position_embeddings,
            rope_parameters=rope,
            tie_word_embeddings=False,
            initializer_range=self.initializer_range,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        torch.manual_seed(seed)
        return training.save(LlamaForCausalLM(config), tokenizer, folder)


def sorted_within(examples: list[Rollout], window: int, size: int, seed: int) -> list[Rollout]:
    """The examples, each `window` of them in batches of alike lengths, in a random order; 0 leaves all as it is."""
    if not window:
        return examples
    source, made = random.Random(seed), list[Rollout]()
    for begin in range(0, len(examples), window):
        some = sorted(examples[begin : begin + window], key=_length)
        batches = [some[at : at + size] for at in range(0, len(some), size)]
        source.shuffle(batches)
        made += [one for batch in batches for one in batch]
    return made


def _whole(example: Rollout, head: str) -> Rollout:
    """An example whose whole text is learned after the head of its problem; any that begins otherwise stays."""
    asked, said = example.prompt.prompt[-1], example.completion[0]
    if not head or len(example.prompt.prompt) > 1 or not asked["content"].startswith(head):
        return example
    prompt = replace(example.prompt, prompt=[{**asked, "content": head}])
    return replace(
        example, prompt=prompt, completion=[{**said, "content": asked["content"][len(head) :] + said["content"]}]
    )


def _length(example: Rollout) -> int:
    return sum(len(message["content"]) for message in (*example.prompt.prompt, *example.completion))


def _tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["<pad>", "<eos>", "<unk>", *ALPHABET])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
