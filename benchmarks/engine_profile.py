"""Where the engine's time goes: the operations of one batch by kind, and how near its products come to the
ceiling.

    python benchmarks/engine_profile.py --model DIR
    python benchmarks/engine_profile.py --model DIR --precision fp32 --threads 2

Times are those that OpenVINO takes of its own operations, in the mean of several runs of a batch without
padding. The ceiling is torch's fastest matrix product on as many threads, in the same run. The last line is
the result as JSON.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import openvino as ov

from inference_work import shape_of
from machine import ceiling, cpu_name
from tinyreader.runtimes.openvino import load_model

PRODUCT = "FullyConnected"
NAMES = {
    PRODUCT: "products with weights",
    "Subgraph": "attention",
    "MVN": "LayerNorms",
    "MulAdd": "sums and scales",
    "Add": "sums and scales",
    "Multiply": "sums and scales",
    "Transpose": "moving",
    "Reorder": "moving",
    "Gather": "embeddings",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="a BERT reader's directory")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=168, help="length of each window")
    parser.add_argument("--repeats", type=int, default=20)
    args = parser.parse_args()

    shape = shape_of(args.model)
    spent = profile(args)
    total = sum(spent.values())
    operations = (
        2
        * args.windows
        * args.tokens
        * shape.layers
        * (4 * shape.width**2 + 2 * shape.width * shape.intermediate)
    )
    most = ceiling(args.threads)[args.precision]
    rate = operations / spent[PRODUCT] / 1e12
    print(
        f"{cpu_name()}, {args.threads} threads, {args.precision}, {args.windows} windows of {args.tokens} "
        "tokens\n"
    )
    print("| operations | ms | share |\n|---|---|---|")
    for name, seconds in spent.most_common():
        print(f"| {NAMES.get(name, name)} ({name}) | {1e3 * seconds:.2f} | {seconds / total:.1%} |")
    print(
        f"\nproducts with weights: {rate:.3f} Tera-operations/s, {rate / most:.0%} of the ceiling "
        f"({most:.3f})"
    )
    print(json.dumps({"seconds": spent, "product_rate": rate, "ceiling": most}))


def profile(args: argparse.Namespace) -> Counter[str]:
    """Seconds of a run of the batch by kind of operation; what takes less than a thousandth is "other"."""
    _, model = load_model(args.model, args.precision)
    properties = {
        "INFERENCE_PRECISION_HINT": "bf16" if args.precision == "bf16" else "f32",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": args.threads,
        "PERF_COUNT": True,
        "ENABLE_CPU_PINNING": False,
    }
    request = ov.Core().compile_model(model, "CPU", properties).create_infer_request()
    ids = np.random.default_rng(1).integers(5, 9000, (args.windows, args.tokens))
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    for _ in range(3):
        request.infer(inputs)
    spent: Counter[str] = Counter()
    for _ in range(args.repeats):
        request.infer(inputs)
        for node in request.profiling_info:
            spent[node.node_type] += node.real_time.total_seconds() / args.repeats
    small = [name for name, seconds in spent.items() if seconds < 0.001 * sum(spent.values())]
    other = sum(spent.pop(name) for name in small)
    return spent + Counter({"other": other})


if __name__ == "__main__":
    main()
