"""Policy gradient on the model's own samples, with TRL's GRPO and RLOO trainers and the recipe's reward.

Training that was stopped starts over, because samples, TRL's buffers and calls of the reward are not stored.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from selfimprove.costs import Cost, count
from selfimprove.errors import DataError
from selfimprove.inference.chat import end_of, ending, prompts_ids
from selfimprove.inference.drawn import messages_of
from selfimprove.interfaces import Log, Sampling
from selfimprove.records import Checkpoint, Prompt, Rollout
from selfimprove.training.job import Job
from selfimprove.training.lora import adapter
from selfimprove.training.model_io import load
from selfimprove.training.options import Sampled
from selfimprove.training.steering import Steered
from selfimprove.training.trl.talks import World, rollout_func
from selfimprove.training.trl.trainer import configured, dataset, diverged, report, train


@dataclass
class Tally:
    """Statistics of an online method's samples."""

    groups: int = 0
    equal: int = 0
    """Groups with equal rewards, from which nothing can be learned."""
    redrawn: int = 0
    completions: int = 0
    unscored: int = 0
    means: list[float] = field(default_factory=list)
    """The mean reward of each batch that has rewards."""

    def add(self, groups: Sequence[Sequence[float | None]]) -> None:
        """Add the rewards of a batch."""
        known = [score for group in groups for score in group if score is not None]
        self.groups += len(groups)
        self.equal += sum(map(_equal, groups))
        self.completions += sum(map(len, groups))
        self.unscored += sum(map(len, groups)) - len(known)
        if known:
            self.means.append(sum(known) / len(known))

    def report(self, log: Log, processes: int) -> None:
        """Log the counts, and the mean reward of the first and of the last quarter of the batches.

        Each process counts its own batches; counts of completions cover all processes.
        """
        quarter = math.ceil(len(self.means) / 4)
        for name, part in (("first", self.means[:quarter]), ("last", self.means[-quarter:])):
            if part:
                log.metric(f"train/reward_{name}", sum(part) / len(part))
        log.metric("train/completions", self.completions * processes)
        log.metric("train/unscored", self.unscored)
        log.metric("train/equal_groups", self.equal / max(1, self.groups))
        log.metric("train/redrawn_groups", self.redrawn)


def _trl(algorithm: str) -> tuple[Any, Any]:
    """TRL's config and trainer of an algorithm."""
    if algorithm == "grpo":
        from trl.trainer.grpo_config import GRPOConfig
        from trl.trainer.grpo_trainer import GRPOTrainer

        return GRPOConfig, GRPOTrainer
    from trl.trainer.rloo_config import RLOOConfig
    from trl.trainer.rloo_trainer import RLOOTrainer

    return RLOOConfig, RLOOTrainer


def _equal(scores: Sequence[float | None]) -> bool:
    return len({score for score in scores if score is not None}) < 2


Reward = Callable[[Sequence[Rollout]], list[Rollout]]
GIVEN = (
    *("num_generations", "num_iterations", "temperature", "max_completion_length", "mask_truncated_completions"),
    *("use_vllm", "vllm_gpu_memory_utilization"),
)
"""Of the options that all have, those that TRL's config has as well."""


def policy_gradient(
    job: Job,
    prompts: Sequence[Prompt],
    method: Sampled,
    reward: Reward,
    algorithm: str,
    world: World | None = None,
    turns: int = 1,
    thinking_budget: int | None = None,
    steered: Steered | None = None,
    **options: Any,
) -> Checkpoint:
    """Policy gradient on the model's own samples with TRL's GRPO or RLOO trainer; saves to `job.folder`.

    The reward is called once per batch of completions, with complete groups of all its prompts.

    Args:
        method: its options define how completions are drawn.
        reward: the recipe's, see `Context.reward`.
        algorithm: `grpo` or `rloo`.
        world: opens the environment of a problem, for grpo; each row is then an episode, with the environment's reward
            or, if it gives none, the recipe's. None: rows are single completions.
        turns: most replies in an episode.
        thinking_budget: most tokens of a thought in an episode.
        steered: chooses the prompts of each step, and says which groups count; None: all, in TRL's order.
        options: fields of TRL's GRPOConfig or RLOOConfig, in addition to those that all methods have.

    Raises:
        DataError: too few prompts for a batch, or the loss is not a number.
    """
    config, base = _trl(algorithm)
    schedule, each = job.schedule, method.num_generations
    together = int(os.environ.get("WORLD_SIZE", "1"))
    wanted = schedule.per_device_train_batch_size * schedule.gradient_accumulation_steps * together // each
    if len(prompts) < wanted:
        raise DataError(f"{len(prompts)} prompts are too few: one optimizer step of {algorithm} takes {wanted}")
    model, tokenizer = load(job.start, schedule.lora)
    ids, tally = prompts_ids(tokenizer, [prompt.prompt for prompt in prompts]), Tally()
    usual = end_of(tokenizer)
    spare = itertools.cycle(random.Random(schedule.seed).sample(range(len(prompts)), len(prompts)))
    redraws = method.redraw if steered is None else steered.again

    def chosen(places: list[int], most: int | None = None) -> list[int]:
        """The places of the rows of a step, those of a prompt side by side."""
        if steered is None:
            return places
        return [place for place in steered.step(len(places) // each, most) for _ in range(each)]

    def idle(starts: Sequence[int], places: list[int], scores: list[float | None]) -> list[int]:
        """Those of the groups beginning here that teach nothing."""
        groups = [scores[start : start + each] for start in starts]
        if steered is None:
            return [start for start, group in zip(starts, groups, strict=True) if _equal(group)]
        counted = steered.seen([places[start] for start in starts], groups)
        return [start for start, counts in zip(starts, counted, strict=True) if not counts]

    class Online(base):
        """Tokenizes prompts as the engines do, and asks the recipe's reward.

        A row's `prompt` is the place of the prompt in the list, so that TRL has no text to tokenize in its own way.
        """

        places: list[int]
        scores: list[float | None]

        def _tokenize_prompts(self, prompts: list[str]) -> Any:
            self.places = chosen([int(place) for place in prompts])
            return [ids[place] for place in self.places], None, {}

        def _generate_single_turn(self, prompt_ids: list[list[int]], *rest: Any, **named: Any) -> Any:
            made = self._drawn(prompt_ids, *rest, **named)
            drawn, logprobs = (made, None) if algorithm == "rloo" else made
            self.scores = self._scores(self.places, drawn)
            stale = idle(range(0, len(drawn), each), self.places, self.scores)
            for _ in range(redraws):
                if not stale:
                    break
                tally.redrawn += len(stale)
                others = steered.more(len(stale)) if steered else [next(spare) for _ in stale]
                for start, place in zip(stale, others, strict=True):
                    self.places[start : start + each] = [place] * each
                rows = [row for start in stale for row in range(start, start + each)]
                places = [self.places[row] for row in rows]
                again = self._drawn([ids[place] for place in places], *rest, **named)
                again, marks = (again, None) if algorithm == "rloo" else again
                for i, (row, score) in enumerate(zip(rows, self._scores(places, again), strict=True)):
                    # TRL uses these list objects
                    prompt_ids[row], drawn[row], self.scores[row] = ids[self.places[row]], again[i], score
                    if logprobs and marks:  # vLLM's, with which its samples are weighted
                        logprobs[row] = marks[i]
                stale = idle(stale, self.places, self.scores)
            for start in stale if steered else ():
                self.scores[start : start + each] = [None] * each
            tally.add([self.scores[start : start + each] for start in range(0, len(drawn), each)])
            return made

        def _drawn(self, *given: Any, **named: Any) -> Any:
            try:
                made = super()._generate_single_turn(*given, **named)
                rows = made if algorithm == "rloo" else made[0]
                count(Cost(completions=len(rows), tokens=sum(map(len, rows))) * together)
                return made
            except RuntimeError as error:
                if "probability tensor" not in str(error):
                    raise
                raise diverged("the probabilities are NaN", self.state.global_step, self.args) from error

        def _scores(self, places: list[int], drawn: list[list[int]]) -> list[float | None]:
            ended = [bool(one) and one[-1] in self.eos_token_ids for one in drawn]
            bare = [one[:-1] if end else one for one, end in zip(drawn, ended, strict=True)]
            said = messages_of(tokenizer, bare)
            rollouts = [
                Rollout(
                    prompt=prompts[place],
                    completion=[message],
                    info=ending(tokenizer, usual, one[-1] if end else None),
                )
                for place, message, one, end in zip(places, said, drawn, ended, strict=True)
            ]
            return [rollout.reward for rollout in reward(rollouts)]

    def recipe_reward(**_: Any) -> list[float | None]:
        return trainer.scores

    def scored(trainer: Any, rollouts: list[Rollout]) -> None:
        bare = iter(reward([one for one in rollouts if one.reward is None]))
        trainer.scores = [next(bare).reward if one.reward is None else one.reward for one in rollouts]
        for start in idle(range(0, len(rollouts), each), trainer.places, trainer.scores) if steered else ():
            trainer.scores[start : start + each] = [None] * each
        tally.add([trainer.scores[start : start + each] for start in range(0, len(rollouts), each)])

    episodes = {}
    if world is not None:
        sampling = Sampling(temperature=method.temperature, max_completion_length=method.max_completion_length)

        def asked(trainer: Any, places: list[str]) -> list[Prompt]:
            trainer.places = chosen([int(place) for place in places], 0)
            return [prompts[place] for place in trainer.places]

        play = rollout_func(asked, world, turns, tokenizer, sampling, scored, schedule.seed, thinking_budget)
        episodes = {"rollout_func": play}
    options |= {name: getattr(method, name) for name in GIVEN}
    assert job.reference is not None, "a method that draws its samples says what its reference is"
    model.config._name_or_path = job.reference.path  # from here TRL loads it, where beta asks for one
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*rollout_func")  # TRL calls it experimental; the version is pinned
        trainer = Online(
            model=model,
            reward_funcs=[recipe_reward],
            args=configured(config, job, model, **options),
            train_dataset=dataset([{"prompt": str(place)} for place in range(len(prompts))]),
            processing_class=tokenizer,
            peft_config=adapter(schedule.lora, schedule.seed),
            **episodes,
        )
    trained = train(trainer, tokenizer, job, kept=False)
    tally.report(job.log, together)
    if steered:
        steered.report()
    told = {"entropy": "entropy", "kl": "kl", "sampling/sampling_logp_difference/mean": "vllm_difference"}
    report(trainer, job.log, told)
    return trained
