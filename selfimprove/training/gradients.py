"""Gradients of the loss of single rows, projected to a few numbers each: which rows would teach what others teach.

The projection is a count sketch (Charikar et al., 2002): each weight adds its gradient, with a random sign, to one of
`width` numbers. Inner products keep their value up to an error of about 1 / sqrt(width) of the product of the lengths,
as with a dense matrix of random signs, in time and memory that grow with the weights alone. Where a model has more than
`MOST` weights, only its last layers count: matrices from the output side on, without embeddings and output layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.costs import Cost, count
from selfimprove.errors import DataError
from selfimprove.inference.rows import rows_of
from selfimprove.inference.weights import context_of
from selfimprove.interfaces import Log
from selfimprove.records import Checkpoint, Rollout
from selfimprove.training.model_io import load, without_dropout

MOST = 1 << 24
"""Weights whose gradients are taken."""
BETAS = (0.9, 0.999)
"""Adam's decay rates."""
EPSILON = 1e-8


class Gradients:
    """The weights of a checkpoint, in memory; `warm` trains them on, and nothing is saved.

    Args:
        width: numbers of a projected gradient.
        seed: of the projection and of the batches.
        most: weights whose gradients are taken.

    Raises:
        DataError: there is no such model.
    """

    def __init__(self, checkpoint: Checkpoint, width: int, seed: int, log: Log, most: int = MOST) -> None:
        import torch

        self.model, self._tokenizer = load(checkpoint)
        without_dropout(self.model)
        self.model.to("cuda" if torch.cuda.is_available() else "cpu")
        self.width, self.seed, self.log = width, seed, log
        named = dict(self.model.named_parameters())
        chosen = chosen_of({name: weight.numel() for name, weight in named.items()}, most)
        for name, weight in named.items():
            weight.requires_grad_(name in chosen)
        self.weights = [named[name] for name in chosen]
        draw = torch.Generator().manual_seed(seed)
        size = sum(weight.numel() for weight in self.weights)
        self._bucket = torch.randint(width, (size,), generator=draw).to(self.model.device)
        self._sign = (torch.randint(2, (size,), generator=draw, dtype=torch.int8) * 2 - 1).to(self.model.device)
        self._optimizer = torch.optim.AdamW(self.weights, betas=BETAS, eps=EPSILON, weight_decay=0.0)

    def warm(self, rows: Sequence[Rollout], steps: int, rate: float, batch: int) -> None:
        """Train the chosen weights for some steps of AdamW; its moments are kept.

        Raises:
            DataError: the loss is not a number.
        """
        import torch

        for group in self._optimizer.param_groups:
            group["lr"] = rate
        draw = torch.Generator().manual_seed(self.seed)
        for step in range(steps if rows else 0):
            places = torch.randint(len(rows), (batch,), generator=draw).tolist()
            loss = self._loss([rows[place] for place in places])
            if loss is None:
                continue
            if not loss.isfinite():
                raise DataError("the loss of the warm-up is not a number: lower its learning rate")
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            count(Cost(steps=1))
            self.log.progress(step + 1, steps, "steps")

    def of(self, rows: Sequence[Rollout], adam: bool = False) -> Any:
        """The projected gradient of each row's mean loss (rows, width) in float32; 0 for a row without tokens.

        Args:
            adam: the direction m' / (sqrt(v') + 1e-8) in which Adam would go after the row, by the moments of the
                warm-up, which stay; without bias correction, as in LESS.
        """
        import numpy as np
        import torch

        made = np.zeros((len(rows), self.width), dtype=np.float32)
        for place, row in enumerate(rows):
            loss = self._loss([row])
            if loss is not None:
                found = torch.autograd.grad(loss, self.weights, allow_unused=True)
                made[place] = self._projected(found, adam)
            if place % 64 == 63 or place + 1 == len(rows):
                self.log.progress(place + 1, len(rows), "gradients")
        count(Cost(scored=3 * len(rows)))  # a backward pass takes twice a forward one
        return made

    def _projected(self, found: Sequence[Any], adam: bool) -> Any:
        import torch

        parts = []
        for weight, gradient in zip(self.weights, found, strict=True):
            gradient = torch.zeros_like(weight) if gradient is None else gradient
            state = self._optimizer.state.get(weight, {})
            if adam and state:
                mean = BETAS[0] * state["exp_avg"] + (1 - BETAS[0]) * gradient
                square = BETAS[1] * state["exp_avg_sq"] + (1 - BETAS[1]) * gradient**2
                gradient = mean / (square.sqrt() + EPSILON)
            parts.append(gradient.reshape(-1))
        flat = torch.cat(parts)
        made = torch.zeros(self.width, device=flat.device)
        return made.index_add_(0, self._bucket, flat * self._sign).cpu().numpy()

    def _loss(self, rows: Sequence[Rollout]) -> Any:
        """The mean over rows of the mean loss of their learned tokens; None if there are none."""
        import torch

        most = context_of(self.model)
        told = [one for row in rows_of(self._tokenizer, rows) for one in row if any(one.said) and len(one.ids) <= most]
        if not told:
            return None
        longest = max(len(one.ids) for one in told)
        ids = torch.zeros((len(told), longest), dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for place, one in enumerate(told):
            ids[place, : len(one.ids)] = torch.tensor(one.ids)
            mask[place, : len(one.ids)] = 1
            labels[place, : len(one.ids)] = torch.tensor(one.labels)
        ids, mask, labels = (one.to(self.model.device) for one in (ids, mask, labels))
        logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels[:, 1:], reduction="none")
        known = (labels[:, 1:] != -100).float()
        return ((losses * known).sum(1) / known.sum(1).clamp(min=1)).mean()


def chosen_of(sizes: dict[str, int], most: int) -> list[str]:
    """The weights whose gradients are taken: all, or matrices from the output side on, at least one.

    Args:
        sizes: the numbers of each weight by its name, in the order of the model.
    """
    if sum(sizes.values()) <= most:
        return [*sizes]
    chosen, total = list[str](), 0
    for name in reversed([name for name in sizes if "embed" not in name and "lm_head" not in name]):
        if chosen and total + sizes[name] > most:
            break
        chosen.append(name)
        total += sizes[name]
    return chosen[::-1]
