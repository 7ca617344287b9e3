"""The server under load, beside the reader in-process and the service that people write around Transformers'
pipeline.

    python benchmarks/serve_load.py                          # some fifteen minutes on two cores
    python benchmarks/serve_load.py --quick --phases saturation,alone
    python benchmarks/serve_load.py --model DIR --phases beside

All sides in one run, on the questions of a SQuAD file, each with its paragraph; the clients run on the same
machine. Phases:

    saturation   64 clients at a time: questions per second, beside `read_many`, and whether the answers are
    the same snippet      the same for the peer (Transformers 4.57.6 in a FastAPI handler), its environment
    built on first use alone        one client: what HTTP adds to the reader's own time beside       a short
    question's time while a document of 1,000 windows is read overload     ten times as many requests as it
    can take, for two minutes: refusals, memory, speed afterwards

The table is Markdown; the last line is the result as JSON. Exit code 1: a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference_work import Work, make_work, random_reader, write_sample
from machine import cpu_name
from serve_clients import (
    Shot,
    ask_all,
    ask_at_rate,
    ask_beside,
    cpu_seconds,
    percentile,
    request_bytes,
    resident_mb,
    server,
)
from serve_inprocess import WARM_UP, best
from sides import build_environment, environment, run
from workload import Shape

HERE = Path(__file__).parent
DEFAULT_DATA = HERE.parents[1] / "shared" / "data" / "squad2-dev-a.json"
PHASES = ("saturation", "snippet", "alone", "beside", "overload")
PEER = "Transformers 4.57.6 in FastAPI"
REFUSED_WITHIN_S = 0.05
LONG_WINDOWS = 1000


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and what it must reach."""

    name: str
    value: float
    bound: float
    at_least: bool = True

    @property
    def reached(self) -> bool:
        """Whether it does."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass(slots=True)
class Result:
    """What was measured: rows for people, figures for programs, goals."""

    rows: list[tuple[str, str]] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, help="SQuAD file; default: the development data, else our sample articles"
    )
    parser.add_argument("--model", type=Path, help="a reader's directory; default: random weights of --shape")
    parser.add_argument("--shape", type=Shape.parse, default=Shape(6, 768), help="such as 6l-768d")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--pairs", type=int, default=1200, help="questions at saturation")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2, help="of saturation; sides alternate")
    parser.add_argument("--overload-s", type=float, default=120.0)
    parser.add_argument("--phases", default=",".join(PHASES), help="of %(default)s")
    parser.add_argument("--quick", action="store_true", help="does it work? No figures to quote")
    parser.add_argument("--env-dir", type=Path, default=Path("~/.cache/tinyreader-bench").expanduser())
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.phases = args.phases.split(",")
    if unknown := set(args.phases) - set(PHASES):
        parser.error(f"no such phase: {', '.join(unknown)}; there are {', '.join(PHASES)}")
    if args.quick:
        args.pairs, args.rounds, args.overload_s = min(args.pairs, 100), 1, 5.0
    return args


class Bench:
    """The sides on one work."""

    def __init__(self, args: argparse.Namespace, scratch: Path) -> None:
        self.args, self.scratch = args, scratch
        data = args.data or DEFAULT_DATA
        if args.data is None and not data.exists():
            data = scratch / "sample.json"
            write_sample(data)
        n_singles = 20 if args.quick else 200
        self.work: Work = make_work(
            data, n_pairs=args.pairs, n_singles=n_singles, n_pages=700, n_documents=1, seed=args.seed
        )
        self.model: Path = args.model
        if self.model is None:
            name = f"random-{args.shape.layers}l-{args.shape.width}d-{args.seed}-{data.stem}"
            self.model = random_reader(args.env_dir / "models" / name, args.shape, data, seed=args.seed)
        self.requests = [self.read(question, context) for question, context in self.work.pairs]
        self.singles = [self.read(question, context) for question, context in self.work.singles]
        self.result = Result()

    @staticmethod
    def read(question: str, context: str) -> bytes:
        """A request to our server."""
        return request_bytes("/read", {"question": question, "context": context})

    def serving(self) -> Any:
        """Our server, as a context."""
        args = self.args
        command = [
            sys.executable,
            "-m",
            "tinyreader",
            "serve",
            "--model",
            str(self.model),
            "--port",
            "0",
            "--precision",
            args.precision,
            "--workers",
            str(args.workers),
            "--threads",
            str(args.threads // args.workers),
            "--set",
            "log_level=error",
        ]
        own = {
            name: value
            for name, value in environment(args.threads).items()
            if not name.startswith("TINYREADER_")
        }
        return server(command, own, self.scratch / "ours.log")

    def in_process(self) -> dict[str, Any]:
        """What the reader does by itself."""
        job = self.scratch / "job.json"
        given = {
            "model": str(self.model),
            "threads": self.args.threads,
            "precision": self.args.precision,
            "pairs": self.work.pairs,
            "singles": self.work.singles,
        }
        job.write_text(json.dumps(given), "utf-8")
        printed = run(
            [sys.executable, str(HERE / "serve_inprocess.py"), str(job)], self.scratch, self.args.threads
        )
        found: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return found

    def saturated(self, port: int, pid: int) -> tuple[float, list[Shot], float]:
        """Questions per second, the answers, and the CPU seconds of the server for each."""
        ask_all(port, self.requests[:128], self.args.clients)
        before = cpu_seconds(pid)
        seconds, shots = ask_all(port, self.requests, self.args.clients)
        return len(shots) / seconds, shots, (cpu_seconds(pid) - before) / len(shots)


def saturation(bench: Bench) -> None:
    """Our server and the reader in turn, each in a fresh process."""
    ours, alone, agreement = [], [], []
    for round_ in range(bench.args.rounds):
        say(f"saturation, round {round_ + 1} of {bench.args.rounds}")
        reader = bench.in_process()
        with bench.serving() as (pid, port):
            rate, shots, cpu = bench.saturated(port, pid)
        if bad := [shot.status for shot in shots if shot.status != 200]:
            raise SystemExit(f"{len(bad)} of {len(shots)} requests were answered with {sorted(set(bad))}")
        same = [
            best(json.loads(shot.body)) == found for shot, found in zip(shots, reader["found"], strict=True)
        ]
        ours.append(rate)
        alone.append(reader["rate"])
        agreement.append(sum(same) / len(same))
    share = statistics.median(one / other for one, other in zip(ours, alone, strict=True))
    result = bench.result
    result.rows += [
        ("reader in-process, `read_many`, questions/s", f"{statistics.median(alone):.1f}"),
        (
            f"server, {bench.args.clients} clients, questions/s",
            f"{statistics.median(ours):.1f} ({share:.0%})",
        ),
        ("same best answer and no-answer", f"{min(agreement):.2%}"),
        ("server's CPU a question, front and worker, ms", f"{1000 * cpu:.1f}"),
    ]
    result.figures |= {
        "rate": ours,
        "rate_in_process": alone,
        "agreement": agreement,
        "engine": reader["engine"],
    }
    result.goals += [Goal("share of read_many", share, 0.85), Goal("same answers", min(agreement), 0.99)]


def snippet(bench: Bench) -> None:
    """The peer with both kinds of handler; the better one counts."""
    python = build_environment(bench.args.env_dir, "serve", HERE / "peers" / "serve.txt", PEER)
    requests = [
        request_bytes("/qa", {"question": question, "context": context})
        for question, context in bench.work.pairs
    ]
    requests = requests[: max(64, len(requests) // 4)]
    rates = {}
    for kind in ("sync", "async"):
        say(f"{PEER}, {kind} handler")
        command = [str(python), str(HERE / "serve_snippet.py"), str(bench.model), kind]
        with server(command, environment(bench.args.threads), bench.scratch / "peer.log") as (_, port):
            ask_all(port, requests[:16], 4)
            seconds, shots = ask_all(port, requests, bench.args.clients)
            rates[kind] = sum(shot.status == 200 for shot in shots) / seconds
    if "rate" not in bench.result.figures:
        with bench.serving() as (pid, port):
            bench.result.figures["rate"] = [bench.saturated(port, pid)[0]]
    ratio = statistics.median(bench.result.figures["rate"]) / max(rates.values())
    for kind, rate in rates.items():
        bench.result.rows.append((f"{PEER}, {kind} handler, questions/s", f"{rate:.2f}"))
    bench.result.rows.append(("server over the better of these", f"{ratio:.1f}x"))
    bench.result.figures["rate_snippet"] = rates
    bench.result.goals.append(Goal("times the snippet", ratio, 5.0))


def alone(bench: Bench) -> None:
    """One client and the reader itself, on the same questions."""
    say("one client alone")
    reader = bench.in_process()
    with bench.serving() as (_, port):
        ask_all(port, bench.singles[:WARM_UP], 1)
        _, shots = ask_all(port, bench.singles[WARM_UP:], 1)
    ours, own = [shot.seconds for shot in shots], reader["alone"]
    added = statistics.median(one - other for one, other in zip(ours, own, strict=True))
    bench.result.rows += [
        ("reader in-process, one question, ms (median, p95)", times(own)),
        ("server, one client, ms (median, p95)", times(ours)),
        ("added by HTTP, ms (median of pairs)", f"{1000 * added:.2f}"),
    ]
    bench.result.figures |= {"alone": ours, "alone_in_process": own}
    bench.result.goals.append(Goal("ms added to one question", 1000 * added, 3.0, at_least=False))


def times(seconds: list[float]) -> str:
    """Median and p95, in milliseconds."""
    return f"{1000 * statistics.median(seconds):.1f}, {1000 * percentile(seconds, 0.95):.1f}"


def beside(bench: Bench) -> None:
    """Short questions by themselves, and while a long document is read."""
    say("short questions beside a long document")
    text = long_text(bench)
    long = request_bytes("/read", {"question": bench.work.question, "context": text, "timeout_s": 3600})
    with bench.serving() as (_, port):
        ask_all(port, bench.singles[:WARM_UP], 1)
        _, quiet = ask_all(port, bench.singles[WARM_UP:], 1)
        shots, found, outlasted = ask_beside(port, long, bench.singles[WARM_UP:])
    if found.status != 200:
        raise SystemExit(f"the long document was answered with {found.status}")
    p95, before = percentile([s.seconds for s in shots], 0.95), percentile([s.seconds for s in quiet], 0.95)
    bench.result.rows += [
        ("a short question's p95 by itself, ms", f"{1000 * before:.1f}"),
        (
            f"beside a document of {LONG_WINDOWS:,} windows, ms",
            f"{1000 * p95:.1f} ({p95 / before:.1f}x, {len(shots)} asked)",
        ),
        ("the long document, s", f"{found.seconds:.1f}{'' if outlasted else ' (it ended first)'}"),
    ]
    bench.result.figures |= {
        "beside": [s.seconds for s in shots],
        "quiet": [s.seconds for s in quiet],
        "long_s": found.seconds,
    }
    bench.result.goals.append(
        Goal("p95 beside a long document, times that alone", p95 / before, 4.0, at_least=False)
    )


def long_text(bench: Bench) -> str:
    """A text of the data's paragraphs that makes about a thousand windows."""
    from tinyreader.data import Example
    from tinyreader.tokenizer import load_tokenizer
    from tinyreader.windows import Windower

    windower, text = Windower(load_tokenizer(bench.model)), bench.work.book
    n = sum(1 for _ in windower.windows([Example("0", bench.work.question, text)]))
    while n < LONG_WINDOWS:
        text, n = f"{text}\n\n{text}", 2 * n
    return text[: round(len(text) * LONG_WINDOWS / n)]


def overload(bench: Bench) -> None:
    """Ten times the rate that it can take, then the usual load."""
    args = bench.args
    with bench.serving() as (pid, port):
        before, _, _ = bench.saturated(port, pid)
        say(f"overload: {10 * before:.0f} requests a second for {args.overload_s:.0f} s")
        ask_at_rate(port, bench.requests, 10 * before, args.overload_s / 10)
        memory = resident_mb(pid)
        shots = ask_at_rate(port, bench.requests, 10 * before, args.overload_s)
        after_memory = resident_mb(pid)
        after, _, _ = bench.saturated(port, pid)
    refused = [shot.seconds for shot in shots if shot.status == 503] or [0.0]
    other = Counter(shot.status for shot in shots if shot.status not in (200, 503))
    answered = sum(shot.status == 200 for shot in shots)
    asked, good = len(shots) / args.overload_s, answered / args.overload_s
    bench.result.rows += [
        (f"overload, {asked:.0f} requests/s: answered/s, refused in all", f"{good:.1f}, {len(refused):,}"),
        ("refused within, ms (median, p95)", times(refused)),
        ("memory during and after, MB", f"{memory:.0f}, {after_memory:.0f}"),
        ("questions/s before and after", f"{before:.1f}, {after:.1f}"),
        (
            "other statuses (0: the connection broke)",
            ", ".join(f"{n} x {status}" for status, n in other.items()) or "none",
        ),
    ]
    bench.result.figures["overload"] = {
        "answered": answered,
        "refused": len(refused),
        "others": other,
        "memory_mb": [memory, after_memory],
    }
    bench.result.goals += [
        Goal("p95 of refusals, s", percentile(refused, 0.95), REFUSED_WITHIN_S, at_least=False),
        Goal("memory after over during overload", after_memory / memory, 1.05, at_least=False),
        Goal("speed after over before", after / before, 0.95),
        Goal("other statuses", other.total(), 0, at_least=False),
    ]


def say(text: str) -> None:
    """Tell on stderr what is going on."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text} ...\n")


def main() -> int:
    """Measure, report, judge."""
    args = parse_arguments()
    runs = {
        "saturation": saturation,
        "snippet": snippet,
        "alone": alone,
        "beside": beside,
        "overload": overload,
    }
    with tempfile.TemporaryDirectory(prefix="serve-load-") as scratch:
        bench = Bench(args, Path(scratch))
        for name in args.phases:
            runs[name](bench)
    result = bench.result
    print(
        f"{cpu_name()}, {args.threads} threads, {args.workers} worker(s); {args.pairs} questions\n\n| | "
        "|\n|---|---|"
    )
    for name, value in result.rows:
        print(f"| {name} | {value} |")
    print("\n| goal | reached | wanted | |\n|---|---|---|---|")
    for goal in result.goals:
        sign = "at least" if goal.at_least else "at most"
        print(
            f"| {goal.name} | {goal.value:.3g} | {sign} {goal.bound:g} | {'yes' if goal.reached else 'NO'} |"
        )
    if args.quick:
        print("\n--quick: this shows that it works, not how fast it is.")
    goals = {goal.name: [goal.value, goal.bound, goal.reached] for goal in result.goals}
    print(json.dumps({"cpu": cpu_name(), "quick": args.quick, "goals": goals, **result.figures}))
    return int(not args.quick and not all(goal.reached for goal in result.goals))


if __name__ == "__main__":
    sys.exit(main())
