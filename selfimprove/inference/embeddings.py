"""Texts as vectors: the mean of a model's last hidden states over the tokens of each text.

Mean pooling after Sentence-BERT (arXiv:1908.10084, section 3), without training for embeddings: good enough to find
near neighbours among texts of one task, but not comparable with embedding models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.inference.foreign import tokens_of
from selfimprove.inference.weights import context_of

TOKENS = 1 << 15
"""Tokens of a batch, including padding."""


def embed(model: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
    """(texts, width) in float32; a longer text is truncated to the context, one without tokens gives 0.

    The hidden states are the input of the output layer, after the last norm. Equal texts are computed once, and texts
    of similar length together, padded on the right.
    """
    import numpy
    import torch

    different = list(dict.fromkeys(texts))
    lines = [ids[: context_of(model)] for ids in tokens_of(tokenizer, different, special=True)]
    order = sorted((i for i, line in enumerate(lines) if line), key=lambda i: len(lines[i]))
    width = model.config.get_text_config().hidden_size
    made = numpy.zeros((len(lines), width), dtype=numpy.float32)
    while order:
        longest = len(lines[order[-1]])  # longest first, so that a batch too large fails at once
        size = max(1, TOKENS // longest)
        batch, order = order[-size:], order[:-size]
        tokens = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros((len(batch), longest), dtype=torch.long)
        for row, i in enumerate(batch):
            tokens[row, : len(lines[i])] = torch.tensor(lines[i])
            mask[row, : len(lines[i])] = 1
        tokens, mask = tokens.to(model.device), mask.to(model.device)
        with torch.inference_mode():
            states = model.base_model(input_ids=tokens, attention_mask=mask, use_cache=False).last_hidden_state.float()
        sums = (states * mask[..., None]).sum(1) / mask.sum(1)[:, None]
        made[batch] = sums.cpu().numpy()
    places = {text: i for i, text in enumerate(different)}
    return made[[places[text] for text in texts]]
