"""The metrics, as their sources define them.

- ES, PS, NS, EM, PM, NM, S, GE, RS: ROME's evaluation (Meng et al. 2022, `eval_utils_counterfact.py`
  and `summarize.py`). A probability is exp of the mean log-probability of the answer's tokens.
- exact: greedy generation gives the taught answer word for word.
- TRR, ERR: GRACE (Hartvigsen et al. 2023), with exact match as the task's metric.
- success, retain, equivalence: KnowledgeEditor (De Cao et al. 2021).
- same_subject_locality, other_entity_locality, updates_replaced: KGT's own.

Everything of one case is a mean over that case's probes; a data set's number is the mean over cases.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Z95 = 1.959964
RESAMPLES = 1000


class Heard(NamedTuple):
    """What an editor answered to one probe.

    Attributes:
        new, true: mean token log-probability of the two answers; `true` is None where there is none.
        says_new, says_true: whether greedy generation gives exactly that answer.
        unchanged: whether it gives what the model said before any edit; None where not asked.
    """

    new: float
    true: float | None = None
    says_new: bool = False
    says_true: bool = False
    unchanged: bool | None = None


class Estimate(NamedTuple):
    """A number with its 95 % confidence interval over cases."""

    value: float
    low: float
    high: float
    n: int


def of_case(
    rewrite: Heard, paraphrases: Sequence[Heard], neighbourhood: Sequence[Heard], same_subject: Sequence[Heard]
) -> dict[str, float]:
    """A case's metrics, shares in [0, 1]; without probes of a kind its metrics are left out."""
    found = {
        "ES": float(prefers_new(rewrite)),
        "EM": magnitude(rewrite),
        "exact": float(rewrite.says_new),
        "success": float(rewrite.says_new),
        "ERR": float(rewrite.says_new),
    }
    if paraphrases:
        found["PS"] = fmean(prefers_new(h) for h in paraphrases)
        found["PM"] = fmean(magnitude(h) for h in paraphrases)
        found["exact_paraphrase"] = found["equivalence"] = fmean(h.says_new for h in paraphrases)
    if neighbourhood:
        found["NS"] = fmean(prefers_true(h) for h in neighbourhood)
        found["NM"] = fmean(-magnitude(h) for h in neighbourhood)
        found["TRR"] = fmean(h.says_true for h in neighbourhood)
    kept = {
        "other_entity_locality": [h.unchanged for h in neighbourhood if h.unchanged is not None],
        "same_subject_locality": [kept for h in same_subject if (kept := keeps_its_answer(h)) is not None],
    }
    found |= {name: fmean(unchanged) for name, unchanged in kept.items() if unchanged}
    if "other_entity_locality" in found:
        found["retain"] = found["other_entity_locality"]
    return found


def prefers_new(heard: Heard) -> bool:
    """ROME's success on one prompt: NLL(true) > NLL(new)."""
    return heard.true is not None and heard.new > heard.true


def prefers_true(heard: Heard) -> bool:
    """ROME's neighbourhood success on one prompt: NLL(true) < NLL(new)."""
    return heard.true is not None and heard.true > heard.new


def keeps_its_answer(heard: Heard) -> bool | None:
    """Whether a question on another relation keeps its answer, or has the one expected of it.

    In PeInt other pairs of the user answer it, so that the expected answer, not the model's former
    one, must be likelier than the taught one. None where the model's former answer is unknown.
    """
    return heard.unchanged if heard.true is None else prefers_true(heard) or heard.unchanged


def magnitude(heard: Heard) -> float:
    """P(new) − P(true), each the geometric mean over tokens."""
    return math.exp(heard.new) - (math.exp(heard.true) if heard.true is not None else 0.0)


def harmonic_mean(values: Sequence[float]) -> float:
    """S: of the data set's ES, PS and NS; 0 if one of them is."""
    return len(values) / sum(1 / v for v in values) if all(v > 0 for v in values) else 0.0


def ngram_entropy(text: str) -> float:
    """GE of one text: mean of 2/3·H₂ and 4/3·H₃ in bits, H_n the Shannon entropy of its n-grams of words.

    Words are NLTK's (Treebank rules); a text shorter than n words has entropy 0.
    """
    from nltk.tokenize import NLTKWordTokenizer

    words = NLTKWordTokenizer().tokenize(text)
    return fmean(weight * _entropy(list(zip(*(words[i:] for i in range(n)), strict=False))) for n, weight in GE_WEIGHTS)


GE_WEIGHTS = ((2, 2 / 3), (3, 4 / 3))


def _entropy(grams: Sequence[tuple[str, ...]]) -> float:
    counts = Counter(grams)
    return -sum(c / len(grams) * math.log2(c / len(grams)) for c in counts.values()) + 0.0


def reference_score(
    generated: Sequence[str], snippets: Sequence[str], vocabulary: Mapping[str, int], idf: npt.NDArray[np.float64]
) -> float:
    """RS: cosine of the TF-IDF vectors of the texts generated about a subject and of reference texts.

    Args:
        snippets: texts about subjects that have the relation and the new object (AttributeSnippets).
        vocabulary, idf: ROME's `tfidf_vocab.json` and `idf.npy`.
    """

    def vector(texts: Sequence[str]) -> npt.NDArray[np.float64]:
        counts = np.zeros(len(idf))
        for word in re.findall(r"\b\w\w+\b", " ".join(texts).lower()):
            if word in vocabulary:
                counts[vocabulary[word]] += 1
        weighted = counts * idf
        length = float(np.linalg.norm(weighted))
        return weighted / length if length else weighted

    return float(vector(generated) @ vector(snippets))


def mean(values: Sequence[float]) -> Estimate:
    """The mean and its 95 % interval: Wilson's for shares of yes and no, else normal."""
    n, value = len(values), fmean(values)
    if set(values) <= {0.0, 1.0}:
        centre = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
        half = Z95 / (1 + Z95**2 / n) * math.sqrt(value * (1 - value) / n + Z95**2 / (4 * n**2))
        return Estimate(value, max(0.0, centre - half), min(1.0, centre + half), n)
    half = Z95 * float(np.std(values, ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    return Estimate(value, value - half, value + half, n)


def bootstrapped(
    values: npt.ArrayLike, statistic: Callable[[npt.NDArray[np.float64]], float], seed: int = 0
) -> Estimate:
    """Any statistic of the cases (axis 0) and its 95 % percentile-bootstrap interval."""
    cases = np.asarray(values, dtype=np.float64)
    draw = np.random.default_rng(seed)
    again = [statistic(cases[draw.integers(0, len(cases), len(cases))]) for _ in range(RESAMPLES)]
    low, high = np.percentile(again, [2.5, 97.5])
    return Estimate(statistic(cases), float(low), float(high), len(cases))
