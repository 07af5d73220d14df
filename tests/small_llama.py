"""Small real models for the tests: `save_pretrained` folders with random weights and a byte-level BPE tokenizer.

Load this file by its path: the tests are no package.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

LINES = ["Question: what is 3 + 5? Answer: 8.", "Question: what is 12 - 7? Answer: 5.", "the quick brown fox jumps"]
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def tokenizer(template: bool) -> Any:
    """A byte-level BPE tokenizer, trained on LINES; `<|end|>` ends a text, beside the 256 bytes and a few merges."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>"]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        LINES,
        trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<|pad|>", eos_token="<|end|>")
    if template:
        wrapped.chat_template = TEMPLATE
    return wrapped


def build(
    folder: Path, kind: str = "llama", template: bool = False, seed: int = 0, words: Any = None, **changes: Any
) -> Path:
    """Write a model with random weights.

    Args:
        kind: llama, gpt2, mistral (a sliding window of 8 tokens in each layer), gemma3 (in every other layer) or mamba.
        words: its tokenizer; None: `tokenizer(template)`.
        changes: values of the configuration.
    """
    import torch
    import transformers

    words = words or tokenizer(template)
    shape: dict[str, Any] = {
        "vocab_size": len(words),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        **changes,
    }
    if kind == "gpt2":
        names = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
        drop = ("intermediate_size", "num_key_value_heads")
        shape = {names.get(name, name): value for name, value in shape.items() if name not in drop}
        shape["n_positions"] = shape.pop("max_position_embeddings")
        config: Any = transformers.GPT2Config(**shape)
    elif kind == "mistral":
        config = transformers.MistralConfig(**shape, sliding_window=8)
    elif kind == "gemma3":
        layers = ["sliding_attention", "full_attention"]
        config = transformers.Gemma3TextConfig(**shape, head_dim=8, sliding_window=8, layer_types=layers)
    elif kind == "mamba":
        config = transformers.MambaConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=2)
    else:
        config = transformers.LlamaConfig(**shape)
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
