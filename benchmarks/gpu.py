"""KGT's edit and answer at the shapes of large models, with random weights, on a GPU where there is one.

No download: GPT-2 XL's, Llama-2-7B's and Llama-3-8B's shapes are filled with random numbers, so answers
mean nothing and only time and memory are printed, beside Table 4 of the KGT paper (an A100, trained
models). `--tiny` runs the same on shapes that any machine holds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from editors_gpu import ENDS, SHAPES, TINY, free, peak, random_weights, request
from rich.console import Console
from rich.table import Table
from transformers import GPT2Config, LlamaConfig, PretrainedConfig

from kgt import Assistant, GraphStore
from kgt.bench import memory
from kgt.bench.paper import COSTS
from kgt.lm.encoder import bundled_encoder
from kgt.lm.hf import HFModel

XL = {"n_embd": 1600, "n_layer": 48, "n_head": 25, "vocab_size": 50257, "n_positions": 1024}
XL_TINY = {"n_embd": 32, "n_layer": 4, "n_head": 2, "vocab_size": 400, "n_positions": 1024}
QUESTION = "What is the mother tongue of {}?"


def main() -> None:
    args = parse()
    table = Table("shape", "weights MB", "s an edit, median", "spread", "ms to answer's first word", "peak MB",
                  "× weights", "the paper's s", "the paper's MB", title="KGT, random weights")  # fmt: skip
    rows = []
    for name, config in configurations(args.tiny).items():
        model = random_weights(name, config, args.device)
        row = measured(model, args.edits)
        rows.append({"shape": name, **row})
        published = COSTS["kgt"].get(name.partition(",")[0].replace("Llama-", "Llama"))
        seconds = row["seconds"]
        table.add_row(
            name,
            f"{row['weights']:,.0f}",
            f"{statistics.median(seconds):.3f}",
            f"{min(seconds):.3f} to {max(seconds):.3f}",
            f"{statistics.median(row['ask']) * 1000:.0f}",
            f"{row['peak']:,.0f}",
            f"{row['peak'] / row['weights']:.2f}",
            f"{published.seconds:.2f}" if published else "",
            f"{published.memory_mb:,.0f}" if published else "",
        )
        del model
        free()
    Console(highlight=False, width=140).print(table)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def configurations(tiny: bool) -> dict[str, PretrainedConfig]:
    """The three models of the paper's Table 4."""
    shapes = TINY if tiny else SHAPES
    found: dict[str, PretrainedConfig] = {
        "GPT2-XL, tiny" if tiny else "GPT2-XL": GPT2Config(**(XL_TINY if tiny else XL), **ENDS)
    }
    for name, shape in reversed(shapes.items()):
        found[name] = LlamaConfig(**shape, max_position_embeddings=4096, **ENDS)
    return found


def measured(model: HFModel, edits: int) -> dict[str, Any]:
    """Seconds an edit and to an answer's first word, and megabytes; the first edit, which compiles, is not counted."""
    with tempfile.TemporaryDirectory() as folder, GraphStore.open(Path(folder) / "graph.db") as store:
        me = Assistant("someone", model=model, store=store, encoder=bundled_encoder())
        seconds: list[float] = []
        ask: list[float] = []
        for i in range(edits + 1):
            if i == 1:
                free()
                memory.restart_peaks()
            wanted = request(i)
            started = perf_counter()
            me.teach(wanted.query, wanted.feedback, subject=wanted.subject)
            done(seconds, started)
            started = perf_counter()
            me.ask(QUESTION.format(wanted.subject), subject=wanted.subject, max_tokens=1)
            done(ask, started)
        weights = sum(p.numel() * p.element_size() for p in model.module.parameters()) / 1e6
        return {"seconds": seconds[1:], "ask": ask[1:], "weights": weights, "peak": peak()}


def done(times: list[float], started: float) -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    times.append(perf_counter() - started)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="shapes that any machine holds")
    parser.add_argument("--edits", type=int, default=20, help="edits timed (default 20)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
