"""What the literature gives the report: the KGT paper's Tables 1 to 4, and what each metric means.

The tables are those of arXiv 2405.19686 and its later version. Methods bear this project's ids, models
the paper's names; all were edited sequentially, on eight A100s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

MODELS = ("GPT2-XL", "Llama2-7B", "Llama3-8B")


class Scores(NamedTuple):
    """Tables 1 to 3, percent: the personalised answer is more probable than the former one.

    Attributes:
        efficacy: on the taught query; our ES.
        paraphrase: on rephrasings; our PS.
    """

    efficacy: float
    paraphrase: float


class Cost(NamedTuple):
    """Table 4: what an edit takes.

    Attributes:
        memory_mb: the GPU's memory while editing, the model's own included.
        seconds: latency of an edit.
    """

    memory_mb: float
    seconds: float


_Numbers = tuple[float, float]


def _scores(methods: Mapping[str, tuple[_Numbers, ...]]) -> dict[str, dict[str, Scores]]:
    return {
        method: {model: Scores(*pair) for model, pair in zip(MODELS, row, strict=True)}
        for method, row in methods.items()
    }


def _costs(methods: Mapping[str, tuple[_Numbers, ...]]) -> dict[str, dict[str, Cost]]:
    return {
        method: {model: Cost(*pair) for model, pair in zip(MODELS, row, strict=True)} for method, row in methods.items()
    }


SCORES: Mapping[str, Mapping[str, Mapping[str, Scores]]] = {
    "counterfact": _scores(
        {
            "ft": ((58.43, 55.77), (62.47, 63.09), (54.44, 50.52)),
            "rome": ((49.38, 48.22), (49.94, 48.84), (51.13, 52.39)),
            "ke": ((51.50, 51.85), (34.25, 30.45), (40.56, 41.00)),
            "kn": ((50.66, 51.06), (49.41, 51.20), (50.52, 50.67)),
            "mend": ((50.41, 50.20), (49.35, 50.88), (50.29, 54.65)),
            "klamp": ((96.17, 47.08), (65.73, 41.46), (59.41, 43.35)),
            "no_edit": ((35.87, 29.74), (30.58, 28.21), (33.52, 52.16)),
            "kgt": ((91.77, 91.75), (91.10, 83.86), (94.58, 86.89)),
        }
    ),
    "extension": _scores(
        {
            "ft": ((58.67, 53.71), (59.70, 63.09), (62.29, 61.97)),
            "rome": ((57.44, 58.45), (47.33, 48.36), (59.28, 53.77)),
            "ke": ((52.49, 52.55), (33.83, 44.49), (41.92, 47.35)),
            "kn": ((47.40, 47.22), (49.74, 49.67), (51.51, 52.62)),
            "mend": ((58.30, 58.51), (40.73, 43.61), (45.62, 44.34)),
            "klamp": ((84.77, 52.66), (74.73, 46.08), (36.60, 59.44)),
            "no_edit": ((47.14, 51.74), (30.22, 42.93), (39.26, 47.04)),
            "kgt": ((82.57, 78.35), (90.68, 83.80), (93.80, 89.22)),
        }
    ),
    "peint": _scores(
        {
            "ft": ((26.53, 16.32), (30.61, 20.40), (24.48, 20.41)),
            "rome": ((17.68, 14.96), (22.44, 17.00), (19.04, 27.21)),
            "ke": ((77.55, 75.51), (17.68, 18.36), (20.40, 26.53)),
            "kn": ((12.24, 6.12), (18.36, 16.32), (16.32, 22.45)),
            "mend": ((10.88, 11.56), (67.34, 65.30), (18.36, 18.36)),
            "klamp": ((12.24, 20.40), (16.32, 24.48), (34.69, 10.20)),
            "no_edit": ((12.24, 6.12), (18.37, 18.36), (20.40, 26.53)),
            "kgt": ((89.41, 82.31), (93.78, 83.75), (95.75, 89.83)),
        }
    ),
}
"""Tables 1, 2 and 3: data set → method → model."""

TABLES = {"counterfact": "Table 1", "extension": "Table 2", "peint": "Table 3"}
"""Where each data set's scores stand in the paper."""

COSTS: Mapping[str, Mapping[str, Cost]] = _costs(
    {
        "ft": ((8516, 1.80), (30990, 0.81), (36968, 0.25)),
        "rome": ((11948, 1.39), (30452, 2.33), (36660, 2.05)),
        "ke": ((31574, 2.18), (33464, 0.30), (69542, 0.13)),
        "kn": ((12832, 3.55), (56148, 0.69), (44000, 0.34)),
        "mend": ((11036, 0.86), (35166, 1.98), (42428, 1.40)),
        "klamp": ((9532, 0.03), (28204, 0.09), (33724, 0.06)),
        "kgt": ((6686, 0.16), (13516, 0.14), (15904, 0.15)),
    }
)
"""Table 4, on CounterFact: method → model."""


class Metric(NamedTuple):
    """A metric as the report explains it."""

    unit: str
    meaning: str
    source: str


_ROME = "ROME (Meng et al. 2022)"
_GRACE = "GRACE (Hartvigsen et al. 2023)"
_KE = "KnowledgeEditor (De Cao et al. 2021)"
METRICS: Mapping[str, Metric] = {
    "ES": Metric("%", "Taught query: the new answer is more probable than the former one.", f"{_ROME}; KGT's efficacy"),
    "PS": Metric("%", "The same on paraphrases of the query.", f"{_ROME}; KGT's paraphrase score"),
    "NS": Metric("%", "Questions about other entities: their true answer stays more probable.", _ROME),
    "S": Metric("%", "Harmonic mean of ES, PS and NS.", _ROME),
    "exact": Metric("%", "Taught query: greedy generation gives the new answer word for word.", "this project"),
    "exact_paraphrase": Metric("%", "The same on paraphrases.", "this project"),
    "same_subject_locality": Metric(
        "%", "Another relation of the edited entity: greedy generation as before any edit.", "this project"
    ),
    "other_entity_locality": Metric("%", "Other entities: greedy generation as before any edit.", "this project"),
    "edit_ms_p50": Metric("ms", "Median time of an edit.", "this project"),
    "edit_ms_p95": Metric("ms", "95 % of edits take at most this long.", "this project"),
    "edit_ms_p99": Metric("ms", "99 % of edits take at most this long.", "this project"),
    "EM": Metric("%", "Taught query: P(new answer) minus P(former answer).", _ROME),
    "PM": Metric("%", "The same on paraphrases.", _ROME),
    "NM": Metric("%", "Questions about other entities: P(true answer) minus P(new answer).", _ROME),
    "TRR": Metric("%", "Test retention rate: questions about other entities answered correctly.", _GRACE),
    "ERR": Metric("%", "Edit retention rate: taught queries answered correctly after all edits.", _GRACE),
    "success": Metric("%", "Taught queries that generate the new answer.", _KE),
    "retain": Metric("%", "Other questions whose answer stays as it was.", _KE),
    "equivalence": Metric("%", "Paraphrases that generate the new answer.", _KE),
    "updates_replaced": Metric(
        "%", "A fact taught twice: its query and the earlier one both prefer the later answer.", "this project"
    ),
    "GE": Metric("bits", "Fluency: entropy of the words' 2-grams and 3-grams in generated texts.", _ROME),
    "RS": Metric("%", "Consistency: TF-IDF likeness of generated texts and texts on the new object.", _ROME),
    "collateral_per_edit": Metric("triples", "Facts an edit removes that nobody asked to replace.", "this project"),
    "rss_over_inference_mb": Metric("MB", "Peak main memory of teaching, beyond plain inference.", "this project"),
    "cuda_over_inference_mb": Metric("MB", "Peak GPU memory of teaching, beyond plain inference.", "this project"),
}
"""In the order the report shows them; MB are 10⁶ bytes."""
