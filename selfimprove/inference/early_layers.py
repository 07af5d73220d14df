"""What early layers of a model would say: their last hidden states through the final norm and the output matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from selfimprove.errors import EngineError, RecipeError

Wanted = str | tuple[int, ...]
"""What a `Shape` asks for: numbers of layers from 1, or `low` or `high`; () for none."""


def numbers_of(wanted: Wanted, layers: int) -> tuple[int, ...]:
    """The numbers of early layers in a model with so many.

    `low` are the even ones of the lower half, `high` those of the upper half without the last, as in arXiv:2309.03883;
    where there are none, all of that half. Layer 0, the embeddings, never counts.

    Raises:
        RecipeError: one of them is the last layer, or there is no such layer.
    """
    if isinstance(wanted, str):
        half = range(1, layers // 2) if wanted == "low" else range(max(1, layers // 2), layers)
        found = tuple(one for one in half if one % 2 == 0) or tuple(half)
    else:
        found = wanted
    if not found or any(not 0 < one < layers for one in found):
        asked = wanted if isinstance(wanted, str) else ", ".join(map(str, wanted))
        raise RecipeError(f"early layers {asked}: this model has {layers} layers, and early ones are 1 to {layers - 1}")
    return found


class Early:
    """The logits of early layers after each forward pass of a model; used as a context, which frees the model again.

    Raises:
        EngineError: the model does not show its layers and its final norm.
    """

    def __init__(self, model: Any, wanted: Iterable[Wanted]) -> None:
        asked = {one for one in wanted if one}
        self._model, self._hooks, self._last = model, list[Any](), dict[int, Any]()
        self._names: dict[Wanted, tuple[str, ...]] = {}
        if not asked:
            return
        self._blocks, self._norm = _parts(model)
        numbers = {one: numbers_of(one, len(self._blocks)) for one in asked}
        self._names = {one: tuple(f"layer {number}" for number in found) for one, found in numbers.items()}
        self._numbers = sorted({number for found in numbers.values() for number in found})

    def __enter__(self) -> Early:
        if self._names:
            self._hooks = [self._blocks[one - 1].register_forward_hook(self._seen(one)) for one in self._numbers]
        return self

    def __exit__(self, *error: Any) -> None:
        for hook in self._hooks:
            hook.remove()

    def names(self, wanted: Wanted) -> tuple[str, ...]:
        """The names in `logits` of what a shape asks for."""
        return self._names.get(wanted, ())

    def logits(self) -> dict[str, Any]:
        """The next-token logits of each early layer after the latest forward pass, (rows, vocabulary), by `layer N`."""
        return {f"layer {one}": self._said(state) for one, state in self._last.items()}

    def _said(self, state: Any) -> Any:
        """The logits of hidden states (rows, width), with what some models do to them behind the output matrix."""
        config = self._model.config.get_text_config()
        logits = self._model.get_output_embeddings()(self._norm(state))
        logits = logits * getattr(config, "logit_scale", 1.0) / getattr(config, "logits_scaling", 1.0)
        cap = getattr(config, "final_logit_softcapping", None)
        return cap * (logits / cap).tanh() if cap else logits

    def _seen(self, number: int) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            self._last[number] = (output[0] if isinstance(output, tuple) else output)[:, -1]

        return hook


def _parts(model: Any) -> tuple[Any, Any]:
    """The list of a model's layers, and the norm after the last of them."""
    import torch

    config = model.config.get_text_config()
    for owner in model.modules():
        children = [*owner.children()]
        for blocks in children:
            if isinstance(blocks, torch.nn.ModuleList) and len(blocks) == config.num_hidden_layers:
                after = children[children.index(blocks) + 1 :]
                norms = [one for one in after if "norm" in type(one).__name__.lower()]
                if norms and model.get_output_embeddings() is not None:
                    return blocks, norms[-1]
    raise EngineError(
        f"models of type {model.config.model_type} do not show their early layers: use another refinement"
    )
