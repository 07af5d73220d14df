"""What a sampler of rows may ask of the weights in training: losses, gradients that agree, gains of one step, features.

Nothing here changes the weights, their gradients, or a random number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from selfimprove.costs import Cost, count
from selfimprove.training.generators import unmoved


class RowWeights:
    """The weights of a trainer, on the rows of its data.

    Args:
        model: in training.
        collate: rows -> a batch with `input_ids`, `labels` (-100 where nothing is learned) and `attention_mask`.
        rows: with `input_ids` and `labels`, in the order of their places.
        batch: rows of a forward pass.
    """

    def __init__(self, model: Any, collate: Callable[[list[Any]], dict[str, Any]], rows: Sequence[Any], batch: int):
        self.model, self.collate, self.rows, self.batch = model, collate, rows, batch

    def losses(self, places: Sequence[int]) -> list[float]:
        """The mean loss over the learned tokens of each row, in nats."""
        import torch

        made = list[float]()
        with self._still(), torch.no_grad():
            for start in range(0, len(places), self.batch):
                made += self._losses(places[start : start + self.batch]).tolist()
        count(Cost(scored=len(places)))
        return made

    def products(self, places: Sequence[int], others: Sequence[int]) -> list[list[float]]:
        """The inner product of the loss gradients of each row with each of the others (rows, others).

        The gradients are those of the linear layers. For a layer the product of two rows is the sum over pairs of their
        tokens of (a . a') (d . d'), with a the layer's inputs and d the gradients at its outputs, so no gradient of a
        single row is ever built (GREATS, NeurIPS 2024).
        """
        import torch

        both = [*places, *others]
        seen: dict[Any, list[Any]] = {}
        layers = [one for one in self.model.modules() if isinstance(one, torch.nn.Linear)]

        def forward(layer: Any, given: tuple[Any, ...], output: Any) -> None:
            seen[layer] = [given[0].detach()]
            if output.requires_grad:
                output.register_hook(lambda gradient: seen[layer].append(gradient.detach()))

        handles = [layer.register_forward_hook(forward) for layer in layers]
        try:
            with self._still():
                loss = self._losses(both).sum()
                weights = [one for one in self.model.parameters() if one.requires_grad]
                torch.autograd.grad(loss, weights, allow_unused=True)
        finally:
            for handle in handles:
                handle.remove()
        n = len(places)
        total = loss.new_zeros(n, len(others))
        for inputs, gradients in (pair for pair in seen.values() if len(pair) == 2):
            alike = torch.einsum("itd,jsd->ijts", inputs[:n].float(), inputs[n:].float())
            total += (alike * torch.einsum("itd,jsd->ijts", gradients[:n].float(), gradients[n:].float())).sum((-1, -2))
        count(Cost(scored=len(both)))
        return total.tolist()

    def gains(self, places: Sequence[int], others: Sequence[int], learning_rate: float) -> list[float]:
        """How far the mean loss of the others falls after one plain gradient step on each row alone."""
        import torch

        weights = [one for one in self.model.parameters() if one.requires_grad]
        kept = [one.detach().clone() for one in weights]
        made, before = list[float](), sum(self.losses(others)) / len(others)
        for place in places:
            with self._still():
                gradients = torch.autograd.grad(self._losses([place]).sum(), weights, allow_unused=True)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    if gradient is not None:
                        weight -= learning_rate * gradient
            made.append(before - sum(self.losses(others)) / len(others))
            with torch.no_grad():
                for weight, old in zip(weights, kept, strict=True):
                    weight.copy_(old)
        count(Cost(scored=len(places)))
        return made

    def features(self, places: Sequence[int]) -> Any:
        """The mean last hidden state over the tokens of each row, a numpy array (rows, width)."""
        import numpy
        import torch

        made = list[Any]()
        with self._still(), torch.no_grad():
            for start in range(0, len(places), self.batch):
                given = self._batch(places[start : start + self.batch])
                hidden = self.model(**given, use_cache=False, output_hidden_states=True).hidden_states[-1].float()
                mask = given["attention_mask"][..., None]
                made.append(((hidden * mask).sum(1) / mask.sum(1)).cpu().numpy())
        count(Cost(scored=len(places)))
        return numpy.concatenate(made)

    def _batch(self, places: Sequence[int]) -> dict[str, Any]:
        made = self.collate([self.rows[place] for place in places])
        return {name: made[name].to(self.model.device) for name in ("input_ids", "attention_mask")}

    def _losses(self, places: Sequence[int]) -> Any:
        """The mean loss of each row, a tensor (rows)."""
        import torch

        labels = self.collate([self.rows[place] for place in places])["labels"].to(self.model.device)[:, 1:]
        logits = self.model(**self._batch(places), use_cache=False).logits[:, :-1].float()
        mask = labels != -100
        chosen = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        losses = (torch.logsumexp(logits, -1) - chosen) * mask
        return losses.sum(-1) / mask.sum(-1).clamp(min=1)

    @contextlib.contextmanager
    def _still(self) -> Iterator[None]:
        """Without dropout, and without a trace in the random generators."""
        training = self.model.training
        self.model.eval()
        with unmoved():
            yield
        self.model.train(training)
