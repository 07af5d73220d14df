"""The files beside trained weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from selfimprove.training.companions import carry


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    start, trained = tmp_path / "start", tmp_path / "trained"
    (start / "additional_chat_templates").mkdir(parents=True)
    trained.mkdir()
    files = {
        "config.json": '{"use_cache":false, "dtype": "bfloat16",\n\n "eos_token_id": [7, 7]}',
        "generation_config.json": '{"eos_token_id": [7, 7], "max_length": 20, "cache_implementation": "hybrid"}',
        "tokenizer_config.json": '{"odd":  true}',
        "preprocessor_config.json": "{}",
        "additional_chat_templates/tools.jinja": "{{ messages }}",
        "step.json": "{}",
        "model.safetensors": "old",
    }
    for name, text in files.items():
        (start / name).write_text(text)
    (trained / "model.safetensors").write_text("new")
    (trained / "config.json").write_text('{"output_router_logits": true}')
    (trained / "vocab.json").write_text("{}")
    return start, trained


def test_files_are_those_of_the_start_to_the_byte_and_only_those_of_a_model(folders: tuple[Path, Path]) -> None:
    start, trained = folders
    carry(start, trained, "float32", 7)
    there = {str(path.relative_to(trained)) for path in trained.rglob("*") if path.is_file()}
    same = there - {"model.safetensors"}
    assert {name: (trained / name).read_text() for name in same} == {name: (start / name).read_text() for name in same}
    assert (trained / "model.safetensors").read_text() == "new"
    assert len(same) == 5
    assert not {"step.json", "vocab.json"} & there


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"dtype": "float16"}, {"dtype": "float16"}),
        ({"torch_dtype": "bfloat16"}, {"torch_dtype": "bfloat16"}),
        ({}, {"dtype": "bfloat16"}),
        ({"dtype": "bfloat16", "quantization_config": {"quant_method": "mxfp4"}}, {"dtype": "bfloat16"}),
    ],
)
def test_the_config_tells_the_dtype_and_no_quantization(found: dict, wanted: dict, folders: tuple[Path, Path]) -> None:
    start, trained = folders
    (start / "config.json").write_text(json.dumps(found))
    carry(start, trained, "bfloat16", 7)
    assert json.loads((trained / "config.json").read_text()) == wanted


@pytest.mark.parametrize(
    ("found", "config", "end", "wanted"),
    [
        ({"eos_token_id": 1, "top_k": 4}, {}, 2, {"eos_token_id": [1, 2], "top_k": 4}),
        ({"eos_token_id": [1, 3]}, {}, 2, {"eos_token_id": [1, 3, 2]}),
        ({}, {"eos_token_id": 1}, 2, {"eos_token_id": [1, 2]}),
        ({}, {"eos_token_id": 2}, 2, {}),
        ({"eos_token_id": 1}, {}, None, {"eos_token_id": 1}),
    ],
)
def test_an_end_that_only_the_template_has_is_added(
    found: dict, config: dict, end: int | None, wanted: dict, folders: tuple[Path, Path]
) -> None:
    start, trained = folders
    (start / "config.json").write_text(json.dumps({"dtype": "float32", **config}))
    (start / "generation_config.json").write_text(json.dumps(found))
    carry(start, trained, "float32", end)
    assert json.loads((trained / "generation_config.json").read_text()) == wanted
