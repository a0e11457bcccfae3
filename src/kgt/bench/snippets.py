"""ROME's reference texts for RS: AttributeSnippets with its TF-IDF weights, where a data folder has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kgt.bench.datasets.files import find, read_list


@dataclass(frozen=True)
class Snippets:
    """Texts by (relation, object), and how words are weighted."""

    texts: Mapping[tuple[str, str], list[str]]
    vocabulary: Mapping[str, int]
    idf: npt.NDArray[np.float64]

    def about(self, relation_id: str, target_id: str) -> list[str]:
        """Texts about subjects that have this object in this relation; [] where there are none."""
        return self.texts.get((relation_id, target_id), [])


def load(data: Path) -> Snippets | None:
    """ROME's `attribute_snippets.json`, `tfidf_vocab.json` and `idf.npy`; None unless all are there."""
    names = ("attribute_snippets.json", "tfidf_vocab.json", "idf.npy")
    snippets, vocabulary, idf = (find(data, [name]) for name in names)
    if not (snippets and vocabulary and idf):
        return None
    texts = {
        (record["relation_id"], record["target_id"]): [sample["text"] for sample in record["samples"]]
        for record in read_list(snippets)
    }
    return Snippets(texts, json.loads(vocabulary.read_text(encoding="utf-8")), np.load(idf))
