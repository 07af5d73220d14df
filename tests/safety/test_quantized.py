"""Quantized weights: which forms are taken, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selfimprove.errors import DataError
from selfimprove.safety.model_files import check_folder


@pytest.mark.parametrize("method", ["mxfp4", "fp8"])
def test_what_can_be_unpacked_is_taken(method: str, make_model: Callable[..., Path]) -> None:
    check_folder(make_model(quantization_config={"quant_method": method}))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"quant_method": "gptq", "bits": 4}, "packed as gptq"),
        ({"quant_method": "awq"}, "packed as awq"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "packed as bitsandbytes"),
        ({"load_in_8bit": True}, "packed as bitsandbytes"),
        ({"quant_method": "int3000"}, "unknown quantization, 'int3000'"),
        ({}, "does not name its quantization"),
        ("gptq", "does not name its quantization"),
    ],
)
def test_the_rest_is_refused_with_what_to_do(values: Any, words: str, make_model: Callable[..., Path]) -> None:
    folder = make_model(quantization_config=values)
    with pytest.raises(DataError) as caught:
        check_folder(folder)
    for part in (str(folder), words, "Name the model that is not quantized"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
