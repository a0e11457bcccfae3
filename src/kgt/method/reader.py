"""Which kind a chat message is, read by the sentence encoder beside the query before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from kgt.lm.encoder import SentenceEncoder

Kind = Literal["feedback", "fact", "neither"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def kind_probabilities(encoder: SentenceEncoder, pairs: Sequence[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """P(kind) of each (query, message), shape (pairs, 3) in the order of `KINDS`; no feedback without a query."""
    from kgt.method.adapter import probabilities  # imports torch

    return probabilities(encoder, pairs)
