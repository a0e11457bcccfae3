"""The uncentred second moment C = E[k kᵀ] of an MLP's inner activations, which ROME weighs keys by.

Meng et al. 2022 take it over 100,000 samples of Wikipedia. Here it is taken over a text that is given,
or over texts the model itself writes (docs/decisions/0012-weight-editors.md), and kept on disk.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from kgt.editors.network import Network
from kgt.errors import BadInput, NotFound
from kgt.lm import Prompt
from kgt.lm.hf import HFModel
from kgt.lm.tokens import Tokens

OWN_TEXTS = 256
OWN_TOKENS = 192
"""Texts that the model writes of itself, and their length: about 50,000 tokens."""
OWN_TOP_K = 50
PIECE = 256
"""Tokens of a given text that are read at once."""
MOST_TOKENS = 2_000_000
BATCH = 32


def texts_for(model: HFModel, corpus: Path | None, cache: Path | None) -> list[Tokens]:
    """What statistics are taken over, as tokens.

    Args:
        corpus: a UTF-8 text file, also .xz; None lets the model write.
        cache: folder in which what the model wrote is kept.

    Raises:
        NotFound: no such file.
        BadInput: the file holds no text.
    """
    if corpus is None:
        return _own(model, cache)
    if not corpus.is_file():
        raise NotFound(f"There is no text {corpus}.", "Give a text file with --corpus, or leave it out.")
    raw = lzma.decompress(corpus.read_bytes()) if corpus.suffix == ".xz" else corpus.read_bytes()
    try:
        tokens = model.encode(raw.decode("utf-8"))[:MOST_TOKENS]
    except UnicodeDecodeError as error:
        raise BadInput(f"{corpus} is no UTF-8 text: {error}.", "Give plain text with --corpus.") from error
    pieces = [tokens[start : start + PIECE] for start in range(0, len(tokens), PIECE)]
    pieces = [piece for piece in pieces if len(piece) > 1]
    if not pieces:
        raise BadInput(f"{corpus} holds no text.", "Give some pages of plain text with --corpus.")
    return pieces


def second_moment(
    network: Network, layer: int, texts: Sequence[Tokens], cache: Path | None, fingerprint: str
) -> torch.Tensor:
    """C of one layer's MLP, float64, shape (inner, inner).

    Args:
        cache: folder to keep it in.
        fingerprint: of the model's weights and the texts.
    """
    path = cache / f"{fingerprint}-layer{layer}.pt" if cache else None
    if path and path.exists():
        found: torch.Tensor = torch.load(path, weights_only=True)
        return found
    matrix = network.matrix(layer)
    inner = matrix.weight.shape[0 if type(matrix).__name__ == "Conv1D" else 1]
    total = torch.zeros(inner, inner, dtype=torch.float64, device=matrix.weight.device)
    count = 0
    mask = torch.empty(0)

    def add(_: Any, args: tuple[torch.Tensor, ...]) -> None:
        nonlocal total, count
        keys = args[0][mask.bool()].double()
        total += keys.T @ keys
        count += len(keys)

    hook = matrix.register_forward_pre_hook(add)
    try:
        with torch.no_grad():
            for start in range(0, len(texts), BATCH):
                ids, mask = network.model.pad_left(texts[start : start + BATCH])
                network.model.forward(ids, mask, None, keep=1, use_cache=False)
    finally:
        hook.remove()
    moment = total / count
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        torch.save(moment.cpu(), part)
        part.replace(path)
    return moment


def fingerprint(model: HFModel, texts: Sequence[Tokens]) -> str:
    """Of a model and what its statistics are taken over."""
    digest = hashlib.sha256(model.name.encode())
    for name, tensor in list(model.module.state_dict().items())[::20]:
        digest.update(name.encode())
        digest.update(tensor.detach().flatten()[:4096].contiguous().view(torch.uint8).cpu().numpy().tobytes())
    for text in texts:
        digest.update(repr(text).encode())
    return digest.hexdigest()[:16]


def _own(model: HFModel, cache: Path | None) -> list[Tokens]:
    """Texts that the model writes from nothing, each until it ends by itself."""
    path = cache / f"{fingerprint(model, ())}-texts.pt" if cache else None
    if path and path.exists():
        return [tuple(text) for text in torch.load(path, weights_only=True)]
    texts: list[Tokens] = []
    for start in range(0, OWN_TEXTS, BATCH):
        written = model.generate_many([Prompt("")] * BATCH, max_tokens=OWN_TOKENS, top_k=OWN_TOP_K, seed=start)
        texts += [tokens for tokens in map(model.encode, written) if len(tokens) > 1]
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save([list(text) for text in texts], path)
    return texts
