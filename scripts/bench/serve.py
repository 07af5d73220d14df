"""What `selfimprove serve` adds to the engine's time per token.

A model of random weights answers the same requests, with the same seeds, in two ways that take turns: by one call of
the engine, and by clients of another process that ask the server all at once, each over a connection of its own. The
figure is the median over the turns of served seconds per token over the engine's. Goal: 1.05.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import bench

CLIENT = "--client"


def main() -> None:
    if sys.argv[1:2] == [CLIENT]:
        return client(*sys.argv[2:])
    parser = bench.arguments(__doc__ or "")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=200, help="most tokens of an answer")
    parser.add_argument("--width", type=int, default=256, help="of the model")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    machine = bench.machine()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), options)
    ratios = [served / direct for served, direct, _ in rows]
    columns = ["turn", "engine, ms/token", "served, ms/token", "ratio"]
    bench.show(
        columns,
        [
            (turn, 1000 * direct / tokens, 1000 * served / tokens, served / direct)
            for turn, (served, direct, tokens) in enumerate(rows, 1)
        ],
    )
    ratio = statistics.median(ratios)
    print(f"ratio {ratio:.3f} (from {min(ratios):.3f} to {max(ratios):.3f}), goal 1.05")
    bench.save(options.json, machine, ratio=ratio, ratios=ratios, clients=options.clients, tokens=rows[0][2])


def measure(folder: Path, options: Any) -> list[tuple[float, float, int]]:
    """Of each turn the seconds of the clients, those of the engine, and the tokens."""
    import uvicorn

    from selfimprove.inference.desk import Sessions
    from selfimprove.interfaces import Policy
    from selfimprove.logs import Silent
    from selfimprove.methods.engine.transformers import Transformers
    from selfimprove.methods.model.tiny import Tiny
    from selfimprove.methods.task.chain_sums import ChainSums
    from selfimprove.recipe import compose
    from selfimprove.records import Checkpoint
    from selfimprove.serving import server
    from selfimprove.serving.answering import Wanted, answer
    from selfimprove.serving.app import Limits, application, service_of
    from selfimprove.serving.requests import read
    from selfimprove.serving.served import Served

    made = Tiny(
        hidden_size=options.width,
        intermediate_size=4 * options.width,
        num_hidden_layers=options.layers,
        max_position_embeddings=options.tokens + 64,
    )
    path = Path(made._untrained(folder / "model", 0).path)
    policy = Policy(
        checkpoint=Checkpoint(path=str(path)),
        engine=Transformers(max_completion_length=options.tokens),
        chain=(),
        states=(),
        desk=Sessions(ChainSums()),
        answer_of=ChainSums().answer_of,
        seed=0,
        log=Silent(),
    )
    served = Served(name="m", policy=policy, recipe=compose.load("quickstart")[0], hashes={}, path=path)
    limits = Limits(tokens=options.tokens, context=server.context_of(path))
    service = service_of(served, limits, "", server.tokenizer_of(path))
    bodies = [
        json.dumps({"messages": [{"role": "user", "content": f"S:{i}+5+8="}], "seed": i, "max_tokens": options.tokens})
        for i in range(options.clients)
    ]
    wanted = [Wanted(read(body.encode(), True, "m", options.tokens, False)) for body in bodies]
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    kept: dict[str, Any] = {
        "timeout_keep_alive": 3600
    }  # a turn of the engine may take longer than the 5 s of connections that wait
    running = uvicorn.Server(uvicorn.Config(application(service), log_level="error", **kept))
    threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True).start()
    port, rows = listening.getsockname()[1], list[tuple[float, float, int]]()
    words = [sys.executable, __file__, CLIENT, str(port), str(options.repeats + 1)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdin and asking.stdout
        asking.stdin.write(json.dumps(bodies) + "\n")
        for turn in range(options.repeats + 1):
            asking.stdin.write("go\n")
            asking.stdin.flush()
            seconds, count = json.loads(asking.stdout.readline())
            began = time.perf_counter()
            drawn = answer(policy, wanted)
            direct = time.perf_counter() - began
            tokens = sum(int((one.logprobs or {})["count"]) for group in drawn for one in group)
            assert tokens == count, "the server drew other tokens than the engine"
            if turn:  # the first one warms both up
                rows.append((seconds, direct, tokens))
    running.should_exit = True
    return rows


def client(port: str, turns: str) -> None:
    """Ask for all bodies at once whenever a line comes; prints the seconds and the tokens."""
    import httpx

    bodies = json.loads(sys.stdin.readline())

    async def ask(web: httpx.AsyncClient) -> int:
        headers = {"content-type": "application/json"}
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        answers = await asyncio.gather(*(web.post(url, content=body, headers=headers) for body in bodies))
        return sum(answer.json()["usage"]["completion_tokens"] for answer in answers)

    async def all_turns() -> None:
        async with httpx.AsyncClient(timeout=600, limits=httpx.Limits(max_connections=len(bodies))) as web:
            for _ in range(int(turns)):
                sys.stdin.readline()
                began = time.perf_counter()
                tokens = await ask(web)
                print(json.dumps([time.perf_counter() - began, tokens]), flush=True)

    asyncio.run(all_turns())


if __name__ == "__main__":
    main()
