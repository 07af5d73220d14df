"""Texts as vectors: the mean of a model's last hidden states over the tokens of each text.

After Sentence-BERT (arXiv:1908.10084, section 3: mean pooling), without any training for it: good enough to find near
neighbours among texts of one task, and not to be compared with models made for embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from selfimprove.inference.weights import context_of

TOKENS = 1 << 15
"""Tokens of a batch, padding included."""


def embed(model: Any, tokenizer: Any, texts: Sequence[str]) -> Any:
    """(texts, width) in float32; a text that is longer than the context counts up to there, one without tokens is 0.

    The hidden states are those that the output layer reads, after the last norm. Equal texts are worked out once, and
    texts of nearly equal lengths together, padded on the right.
    """
    import numpy
    import torch

    different = list(dict.fromkeys(texts))
    lines = [ids[: context_of(model)] for ids in tokenizer(different)["input_ids"]] if different else []
    order = sorted((i for i, line in enumerate(lines) if line), key=lambda i: len(lines[i]))
    width = model.config.get_text_config().hidden_size
    made = numpy.zeros((len(lines), width), dtype=numpy.float32)
    while order:
        longest = len(lines[order[-1]])  # longest first: what does not fit is known at once
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
