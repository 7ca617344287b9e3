"""A server under mixed load for a long time: does its memory stay where it was after the first minute?

    python benchmarks/serve_soak.py --minutes 30
    python benchmarks/serve_soak.py --minutes 1 --model DIR

Questions on paragraphs of all lengths, several at once, long documents, the hosted schema, wrong requests,
clients that go before they are answered, and, with --kill, a worker killed now and then. Memory is the sum
over front and workers (PSS). The last line is the result as JSON. Exit code 1: memory at the end is more than
5 % above that after the first minute, a right request was not answered, or a wrong one with a status of 500
or more.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from inference_work import make_work, random_reader, write_sample
from serve_clients import ask_all, get_json, request_bytes, resident_mb, server, tree
from serve_load import DEFAULT_DATA
from sides import environment
from workload import Shape

LIMIT = 1.05


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--model", type=Path, help="a reader's directory; default: random weights of --shape")
    parser.add_argument("--shape", type=Shape.parse, default=Shape(6, 384))
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--kill", action="store_true", help="kill -9 a worker every two minutes; its memory starts anew"
    )
    parser.add_argument("--env-dir", type=Path, default=Path("~/.cache/tinyreader-bench").expanduser())
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def requests_of(pairs: Any, book: str, draw: random.Random) -> list[tuple[bytes, bool]]:
    """A shuffled mix of requests, each with whether it is a right one."""
    mix: list[tuple[bytes, bool]] = []
    for question, context in pairs:
        kind = draw.random()
        if kind < 0.6:
            mix.append((request_bytes("/read", {"question": question, "context": context}), True))
        elif kind < 0.75:
            mix.append((request_bytes("/", {"inputs": {"question": question, "context": context}}), True))
        elif kind < 0.85:
            texts = [other for _, other in draw.sample(list(pairs), 8)]
            mix.append(
                (request_bytes("/read", {"questions": [question, question + "?"], "documents": texts}), True)
            )
        elif kind < 0.88:
            place = draw.randrange(max(1, len(book) - 60_000))
            mix.append(
                (
                    request_bytes("/read", {"question": question, "context": book[place : place + 60_000]}),
                    True,
                )
            )
        else:
            too_long = {"question": "a " * 5000, "context": "b"}
            wrong: list[Any] = [{"question": ""}, {"question": question, "top_k": -1}, [1, 2], too_long]
            mix.append((request_bytes("/read", draw.choice(wrong)), False))
    return mix


def go_away(port: int, requests: list[bytes], over: threading.Event) -> None:
    """Asks and leaves before the answer, again and again."""
    for number in range(1 << 60):
        if over.wait(0.5):
            return
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(requests[number % len(requests)])


def kill_workers(pid: int, over: threading.Event) -> None:
    """Kills a child of the server every two minutes."""
    while not over.wait(120.0):
        for child in tree(pid)[1:2]:
            os.kill(child, signal.SIGKILL)


def main() -> int:
    """Load, watch, judge."""
    args = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="serve-soak-") as scratch:
        data = args.data or DEFAULT_DATA
        if not data.exists():
            data = Path(scratch, "sample.json")
            write_sample(data)
        work = make_work(data, n_pairs=1000, n_singles=1, n_pages=200, n_documents=1, seed=args.seed)
        model = args.model
        if model is None:
            name = f"random-{args.shape.layers}l-{args.shape.width}d-{args.seed}-{data.stem}"
            model = random_reader(args.env_dir / "models" / name, args.shape, data, seed=args.seed)
        command = [
            sys.executable,
            "-m",
            "tinyreader",
            "serve",
            "--model",
            str(model),
            "--port",
            "0",
            "--workers",
            str(args.workers),
            "--set",
            "log_level=error",
        ]
        with server(command, environment(2), Path(scratch, "log")) as (pid, port):
            outcome = soak(args, pid, port, requests_of(work.pairs, work.book, random.Random(args.seed)))
            outcome["workers"] = get_json(port, "/info")["workers"]
    print(json.dumps(outcome))
    return int(not outcome["passed"])


def soak(args: argparse.Namespace, pid: int, port: int, mix: list[tuple[bytes, bool]]) -> dict[str, Any]:
    """Memory by the minute, and what was answered."""
    over = threading.Event()
    others = [
        threading.Thread(target=go_away, args=(port, [request for request, _ in mix], over), daemon=True)
    ]
    if args.kill:
        others.append(threading.Thread(target=kill_workers, args=(pid, over), daemon=True))
    for thread in others:
        thread.start()
    began, statuses, wrong = time.monotonic(), Counter[str](), 0
    memory: list[float] = []
    next_look = 60.0
    while (now := time.monotonic() - began) < 60 * args.minutes or not memory:
        _, shots = ask_all(port, [request for request, _ in mix[:200]], args.clients)
        for shot, (_, is_right) in zip(shots, mix, strict=False):
            statuses[f"{'right' if is_right else 'wrong'} {shot.status}"] += 1
            wrong += shot.status != 200 if is_right else not 400 <= shot.status < 500
        mix = mix[200:] + mix[:200]
        if now >= next_look or now >= 60 * args.minutes:
            memory.append(resident_mb(pid))
            sys.stderr.write(f"{now:6.0f} s  {memory[-1]:.0f} MB  {sum(statuses.values()):,} requests\n")
            next_look += 60.0
    over.set()
    growth = memory[-1] / memory[0]
    return {
        "minutes": args.minutes,
        "memory_mb": [round(value, 1) for value in memory],
        "growth": growth,
        "statuses": dict(statuses),
        "unexpected": wrong,
        "passed": growth <= LIMIT and not wrong,
    }


if __name__ == "__main__":
    sys.exit(main())
