"""Prompts and what follows each, in one row: a token sees its own text only.

A prompt stands once, before all of its continuations; a beginning that is known (`kgt.lm.prefixes`), or that a
prompt before it in the row has too, is not computed again.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from kgt.lm.prefixes import Known
from kgt.lm.tokens import Tokens, alike

STEP = 16
"""A row in bfloat16 on a CPU is filled up to a multiple of so many tokens, as many as the matrix unit multiplies at a
time: each new number of tokens has oneDNN compile kernels, which takes longer (docs/decisions/0015-speed.md)."""


class Text(NamedTuple):
    """A prompt, what is known of it, and what follows it."""

    prompt: Tokens
    known: Known[torch.Tensor]
    ends: tuple[Tokens, ...]

    @property
    def size(self) -> int:
        """Tokens to compute, if no other prompt of the row begins alike."""
        return len(self.prompt) - len(self.known.tokens) + sum(map(len, self.ends))


class Pack(NamedTuple):
    """One forward pass.

    Attributes:
        ids, positions: (1, n), with what fills the row up at the end.
        mask: added to the attention's scores, (1, 1, n, cached + n).
        cache: the known beginnings, None where there are none.
        prompts: for each prompt where its tokens stand, in cached + n.
        lasts: for each prompt the place of its last token, in n.
        ends: for each prompt and each of its ends where the end's tokens stand, in n.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    mask: torch.Tensor
    cache: Any
    prompts: list[list[int]]
    lasts: list[int]
    ends: list[list[range]]


def packs(
    rows: dict[Tokens, list[Tokens]], find: Callable[[Tokens], Known[torch.Tensor]], most: int
) -> Iterator[list[Text]]:
    """Prompts with their ends, as many at a time as `most` tokens hold; a prompt's ends may be spread over several.

    What is known of a prompt is asked only as its turn comes: an earlier one may have made it known.
    """
    texts: list[Text] = []
    for prompt, ends in rows.items():
        text = Text(prompt, find(prompt), ())
        for end in ends:
            if sum(t.size for t in texts) + text.size + len(end) > most and (texts or text.ends):
                yield [*texts, text] if text.ends else texts
                texts = []
                text = Text(prompt, find(prompt), ())
            text = text._replace(ends=(*text.ends, end))
        texts.append(text)
    if texts:
        yield texts


def added(sees: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What is added to the attention's scores so that a token sees only what it may.

    The least finite number, not −∞, which would give NaN to a token of padding that sees nothing.
    """
    return torch.zeros(sees.shape, dtype=dtype).masked_fill_(~sees, torch.finfo(dtype).min)


def pack(texts: Sequence[Text], dtype: torch.dtype, device: torch.device, cache_of: Callable[[Any], Any]) -> Pack:
    """Texts as one row.

    Args:
        cache_of: as of `TorchModel`.
    """
    known_ones = sorted((text.known for text in texts), key=lambda known: len(known.tokens))
    longest = {id(known.states): known for known in known_ones if known.states is not None}  # of each earlier prompt
    starts: dict[int, int] = {}
    cached = 0
    for identity, whole in longest.items():
        starts[identity] = cached
        cached += len(whole.tokens)
    step = STEP if dtype == torch.bfloat16 and device.type == "cpu" else 1
    most = _filled_up(sum(text.size for text in texts), step)
    ids: list[int] = []
    positions: list[int] = []
    sees = np.zeros((most, cached + most), dtype=bool)
    prompts: list[list[int]] = []
    lasts: list[int] = []
    ends: list[list[range]] = []
    met: list[tuple[Tokens, list[int]]] = []  # prompts in order, and where their tokens stand
    for text in texts:
        start = starts.get(id(text.known.states), 0)
        begin = list(range(start, start + len(text.known.tokens)))
        # In their order a prompt has most in common with one of its neighbours.
        at = bisect(met, (text.prompt,))
        for earlier, places in met[max(at - 1, 0) : at + 1]:
            common = min(alike(text.prompt, earlier), len(text.prompt) - 1)
            if common > len(begin):
                begin = places[:common]
        new = range(len(ids), len(ids) + len(text.prompt) - len(begin))
        ids += text.prompt[len(begin) :]
        positions += range(len(begin), len(text.prompt))
        own = [new]
        for end in text.ends:
            own.append(range(len(ids), len(ids) + len(end)))
            ids += end
            positions += range(len(text.prompt), len(text.prompt) + len(end))
        sees[new.start : own[-1].stop, begin] = True
        sees[new.stop : own[-1].stop, cached + new.start : cached + new.stop] = True
        for part in own:
            sees[part.start : part.stop, cached + part.start : cached + part.stop] = np.tri(len(part), dtype=bool)
        prompts.append([*begin, *(cached + i for i in new)])
        met.insert(at, (text.prompt, prompts[-1]))
        lasts.append(new.stop - 1)
        ends.append(own[1:])
    n = _filled_up(len(ids), step)
    positions += [0] * (n - len(ids))
    ids += [0] * (n - len(ids))
    mask = added(torch.from_numpy(sees[:n, : cached + n]), dtype)
    cache = None
    begins = [known.states[:, :, :, : len(known.tokens)] for known in longest.values() if known.states is not None]
    if begins:
        states = torch.cat(begins, 3)
        cache = cache_of((keys[None], values[None]) for keys, values in states)
    return Pack(
        torch.tensor([ids], device=device),
        torch.tensor([positions], device=device),
        mask[None, None].to(device),
        cache,
        prompts,
        lasts,
        ends,
    )


def _filled_up(size: int, step: int) -> int:
    return -(-size // step) * step
