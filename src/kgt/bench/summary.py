"""From a run's lines to its numbers: `summary.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kgt.bench.metrics import Estimate, bootstrapped, harmonic_mean, mean

SHARES = (
    "ES", "PS", "NS", "EM", "PM", "NM", "exact", "exact_paraphrase", "TRR", "ERR", "success", "retain",
    "equivalence", "same_subject_locality", "other_entity_locality", "RS",
)  # fmt: skip
"""Metrics that are means over cases of something in [-1, 1], given in percent."""
LATENCIES = {"edit_ms_p50": 50, "edit_ms_p95": 95, "edit_ms_p99": 99}


def summarise(
    cases: Sequence[Mapping[str, Any]], edits: Sequence[Mapping[str, Any]], memory: Mapping[str, float]
) -> dict[str, Any]:
    """One method's metrics, each {value, low, high, n}.

    Cases whose fact a later one of the data set makes outdated are left out of everything but
    `updates_replaced`, which asks whether their query, too, now gets the later answer.
    """
    standing = [c for c in cases if not c.get("superseded")]
    found: dict[str, Estimate] = {}
    for name in SHARES:
        values = [c["metrics"][name] for c in standing if name in c["metrics"]]
        if values:
            found[name] = _percent(mean(values))
    if all(name in found for name in ("ES", "PS", "NS")):
        rows = [[c["metrics"][m] for m in ("ES", "PS", "NS")] for c in standing if "PS" in c["metrics"]]
        whole = harmonic_mean([found[m].value for m in ("ES", "PS", "NS")])
        found["S"] = _percent(bootstrapped(rows, lambda r: harmonic_mean([float(v) for v in r.mean(0)])))._replace(
            value=whole
        )
    entropies = [c["metrics"]["GE"] for c in standing if "GE" in c["metrics"]]
    if entropies:
        found["GE"] = mean(entropies)
    replaced = _updates_replaced(cases)
    if replaced:
        found["updates_replaced"] = _percent(mean(replaced))
    if edits:
        found["collateral_per_edit"] = mean([float(e["collateral"]) for e in edits])
        taken = [e["ms"] for e in edits]
        for name, share in LATENCIES.items():
            found[name] = bootstrapped(taken, _percentile(share))
    result = {name: {k: _rounded(v) for k, v in e._asdict().items()} for name, e in found.items()}
    return result | {name: {"value": value, "low": value, "high": value, "n": 1} for name, value in memory.items()}


def _updates_replaced(cases: Iterable[Mapping[str, Any]]) -> list[float]:
    """For each case that makes another outdated: whether its own query and the old one both prefer the new answer."""
    by_id = {c["case_id"]: c for c in cases}
    return [
        float(c["metrics"]["ES"] == 1 and by_id[c["updates"]]["old_query_prefers_update"])
        for c in by_id.values()
        if c.get("updates") in by_id
    ]


def _percentile(share: int) -> Callable[[npt.NDArray[np.float64]], float]:
    return lambda values: float(np.percentile(values, share))


def _percent(estimate: Estimate) -> Estimate:
    return Estimate(100 * estimate.value, 100 * estimate.low, 100 * estimate.high, estimate.n)


def _rounded(value: float) -> float:
    return round(value, 3) if isinstance(value, float) else value
