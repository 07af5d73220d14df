"""Where vLLM runs the weights and no refinement is asked for, its own server is started instead."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from selfimprove.inference import vllm_process
from selfimprove.serving.served import Served

PASSED = {
    "tensor_parallel_size": "--tensor-parallel-size",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "max_model_len": "--max-model-len",
    "dtype": "--dtype",
}
"""Options of the engine, and the words of vLLM's command for them."""


def suits(served: Served) -> bool:
    """Whether vLLM's own server answers as this policy does: one attempt, greedy or as the client says."""
    chain, engines = served.policy.chain, served.recipe.engine
    single = not chain or (len(chain) == 1 and chain[0].single is not None)
    return list(engines) == ["vllm"] and single and not served.policy.checkpoint.parts


def command(served: Served, host: str, port: int) -> list[str]:
    """The command that starts it; it does not show the key, which vLLM reads from the environment."""
    options = vars(served.recipe.the("engine"))
    words = ["vllm", "serve", str(served.path), "--served-model-name", served.name, "--host", host, "--port", str(port)]
    for name, word in PASSED.items():
        if options.get(name) not in (None, ""):
            words += [word, str(options[name])]
    if options.get("enforce_eager"):
        words.append("--enforce-eager")
    words += ["--generation-config", "vllm"]  # a folder's own would change how samples are drawn
    if served.policy.chain and (single := served.policy.chain[0].single):
        usual: dict[str, Any] = {"temperature": single.temperature}
        words += ["--override-generation-config", json.dumps(usual)]
    return words


def environment(key: str, now: Mapping[str, str]) -> dict[str, str]:
    """The environment of that command: vLLM asks its clients for the key in VLLM_API_KEY."""
    return {**now, **({"VLLM_API_KEY": key} if key else {}), "VLLM_NO_USAGE_STATS": "1"}


def replace_process(served: Served, host: str, port: int, key: str) -> None:
    """Start vLLM's server in the place of this process.

    Raises:
        EngineError: vLLM is missing, or of another version.
    """
    vllm_process.look()
    os.execvpe("vllm", command(served, host, port), environment(key, os.environ))
