"""The command for vLLM's own server."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfimprove.methods.engine.vllm import Vllm
from selfimprove.methods.refinement.greedy import Greedy
from selfimprove.methods.refinement.self_consistency import SelfConsistency
from selfimprove.serving import vllm_server


def test_vllm_serves_single_attempts_itself(make_service: Any, make_policy: Any) -> None:
    served = make_service(Greedy()).served
    assert not vllm_server.suits(served)  # the engine is another one
    recipe = replace(served.recipe, engine={"vllm": Vllm(max_model_len=4096, dtype="bfloat16", enforce_eager=True)})
    served = replace(served, recipe=recipe, path=Path("/models/one"))
    assert vllm_server.suits(served)
    words = vllm_server.command(served, "127.0.0.1", 8000)
    assert words[:3] == ["vllm", "serve", "/models/one"] and "--enforce-eager" in words
    pairs = dict(itertools.pairwise(words))
    assert pairs["--served-model-name"] == "m" and pairs["--port"] == "8000" and pairs["--max-model-len"] == "4096"
    assert pairs["--dtype"] == "bfloat16" and pairs["--generation-config"] == "vllm"
    assert pairs["--override-generation-config"] == '{"temperature": 0.0}'
    assert "sk-key" not in " ".join(words)
    made = vllm_server.environment("sk-key", {"PATH": "/bin"})
    assert (
        made["VLLM_API_KEY"] == "sk-key"
        and made["PATH"] == "/bin"
        and "VLLM_API_KEY" not in vllm_server.environment("", {})
    )
    voting = replace(served, policy=make_policy(None, SelfConsistency()))
    assert not vllm_server.suits(voting)
    plain = replace(served, policy=served.policy.plain())
    assert vllm_server.suits(plain) and "--override-generation-config" not in vllm_server.command(plain, "::1", 1)
