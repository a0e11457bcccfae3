"""A transformers model opened for editing: its layers and matrices by name, its pieces run apart."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import Cache

from kgt.editors.attention import for_gradients
from kgt.editors.base import EditRequest, PlainEditor, Question
from kgt.errors import BadInput
from kgt.lm.hf import HFModel
from kgt.lm.tokens import Tokens
from kgt.method.reasoning import answers_request


@dataclass(frozen=True, slots=True)
class Names:
    """Where an architecture keeps what editors change.

    Attributes:
        layers: the list of transformer layers, from the model.
        norm: the norm after the last layer, from the model.
        mlp_in: the MLP's first matrices (two where it is gated), from a layer.
        mlp_out: the MLP's second matrix, whose input are the "knowledge neurons", from a layer.
    """

    layers: str
    norm: str
    mlp_in: tuple[str, ...]
    mlp_out: str


class Network:
    """A model's parts.

    Args:
        names: see `Names`.

    Raises:
        BadInput: the model has no part of such a name, or is quantised.
    """

    def __init__(self, model: HFModel, names: Names) -> None:
        self.model = model
        self.module: nn.Module = model.module
        self.names = names
        self.layers: Sequence[Any] = self._part(self.module, names.layers)
        self.norm: Any = self._part(self.module, names.norm)
        if not self.matrix(0).weight.is_floating_point():
            raise BadInput(
                f"{model.name} is quantised; its weights cannot be edited.",
                "Load the unquantised model, or use kgt, klamp or no_edit.",
            )
        model.shortcuts = False  # what it computed before an edit is of no use after it
        model.prefixes.clear()
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        head: Any = self.module.get_output_embeddings()
        self._hook = head.register_forward_pre_hook(_in_one_piece)

    def close(self) -> None:
        """Leave the model to others."""
        self._hook.remove()
        self.model.shortcuts = self.model.can_pack

    @property
    def depth(self) -> int:
        return len(self.layers)

    def matrix(self, layer: int, name: str | None = None) -> Any:
        """A linear layer of one transformer layer; its MLP's second one by default."""
        return self._part(self.layers[layer], name or self.names.mlp_out)

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits, float32, of the last layer's output."""
        project: Any = self.module.get_output_embeddings()  # type: ignore[operator]
        logits: torch.Tensor = project(self.norm(hidden)).float()
        return logits

    def embedding(self) -> torch.Tensor:
        """The token embeddings, shape (vocabulary, width)."""
        weight: torch.Tensor = self.module.get_input_embeddings().weight  # type: ignore[operator]
        return weight

    def pair(self, editor: PlainEditor, request: EditRequest) -> tuple[Tokens, Tokens]:
        """The tokens of a request's query, as the editor asks it, and of the answer to be given."""
        start = editor.prompt(Question(request.user, request.query, request.subject, request.stem))
        asked = answers_request(start, [request.object])
        return self.model.split(asked.prompt, asked.continuations[0])

    def rows(self, texts: Sequence[tuple[Tokens, Tokens]]) -> Rows:
        """Prompt and continuation pairs as one padded batch."""
        ids, mask = self.model.pad_left([prompt + target for prompt, target in texts])
        labels = torch.full_like(ids, -100)
        for row, (_, target) in enumerate(texts):
            labels[row, ids.shape[1] - len(target) :] = torch.tensor(target, device=ids.device)
        return Rows(ids, mask, labels)

    def below(self, rows: Rows, layer: int, prefix: Prefix | None = None) -> Tail:
        """What a layer is given for these rows, so that it and all above can be run again and again.

        Args:
            prefix: what each row follows; see `prefix_of`.
        """
        mask = rows.mask if prefix is None else torch.cat([prefix.mask, rows.mask], 1)
        cache = None if prefix is None else _fresh(prefix.cache)
        seen: dict[str, Any] = {}

        class _Enough(Exception):
            pass

        def capture(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.update(args=args, kwargs=kwargs)
            raise _Enough

        hook = self.layers[layer].register_forward_pre_hook(capture, with_kwargs=True)
        try:
            with torch.no_grad():
                self.model.forward(rows.ids, mask, cache, keep=1, use_cache=cache is not None)
        except _Enough:
            pass
        finally:
            hook.remove()
        args, kwargs = seen["args"], seen["kwargs"]
        hidden = args[0] if args else kwargs.pop("hidden_states")
        return Tail(self, layer, rows, hidden, args[1:], kwargs)

    @staticmethod
    def _part(root: Any, path: str) -> Any:
        try:
            return root.get_submodule(path)
        except AttributeError as error:
            raise BadInput(
                f"{type(root).__name__} has no part {path!r}.",
                "Give the model's own names in a file with --hparams: [names] layers, norm, mlp_in, mlp_out.",
            ) from error


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch: token ids, their mask, and the tokens to be predicted (-100 elsewhere), each (rows, length)."""

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor


@dataclass(slots=True)
class Tail:
    """The layers from one on, over fixed input: what lies below an edit never changes, so it is run once.

    Attributes:
        hidden: the first of these layers' input, shape (rows, length, width).
    """

    network: Network
    layer: int
    rows: Rows
    hidden: torch.Tensor
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def top(self) -> torch.Tensor:
        """The last layer's output, shape (rows, length, width)."""
        return self._through(self.network.layers[self.layer :])

    def above(self, count: int) -> Tail:
        """The tail that begins so many layers further up."""
        end = self.layer + count
        with torch.no_grad():
            hidden = self._through(self.network.layers[self.layer : end])
        return Tail(self.network, end, self.rows, hidden, self.args, self.kwargs)

    def _through(self, layers: Sequence[Any]) -> torch.Tensor:
        args = [_fresh(a) for a in self.args]
        kwargs = {name: _fresh(a) for name, a in self.kwargs.items()}
        hidden = self.hidden
        with for_gradients(self.network.module):
            for layer in layers:
                out = layer(hidden, *args, **kwargs)
                hidden = out[0] if isinstance(out, tuple) else out
        return hidden

    def logits(self) -> torch.Tensor:
        """Next-token logits where a label is to be predicted, row by row; shape (labels, vocabulary)."""
        return self.network.head(self.top()[self._before_labels()])

    def labels(self) -> torch.Tensor:
        return self.rows.labels[self.rows.labels != -100]

    def loss(self) -> torch.Tensor:
        """Mean over rows of the mean −log P of their labels."""
        return mean_nll(self.logits(), self.rows.labels)

    def _before_labels(self) -> torch.Tensor:
        return nn.functional.pad(self.rows.labels[:, 1:] != -100, (0, 1))


def _in_one_piece(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """The last positions of a batch, copied: for those of a longer one torch copies a frozen matrix, once a row."""
    return (args[0].contiguous(), *args[1:])


def mean_nll(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over rows of the mean −log P; logits (labels, vocabulary) as `Tail.logits` gives them."""
    wanted = labels != -100
    losses = cross_entropy(logits, labels[wanted], reduction="none")
    row = wanted.nonzero()[:, 0]
    counts = wanted.sum(1)
    return (losses / counts[row]).sum() / labels.shape[0]


@contextmanager
def in_float32(linear: Any) -> Iterator[None]:
    """A linear layer computing in float32 inside a model of another type: small updates survive."""
    handles = open_in_float32(linear)
    try:
        yield
    finally:
        close_float32(linear, handles)


def open_in_float32(linear: Any) -> list[Any]:
    """See `in_float32`; undone by `close_float32`."""
    kind = linear.weight.dtype
    if kind == torch.float32:
        return []
    linear.float()
    return [
        linear.register_forward_pre_hook(lambda _, args: (args[0].float(), *args[1:])),
        linear.register_forward_hook(lambda _, __, out: out.to(kind)),
        kind,
    ]


def close_float32(linear: Any, handles: list[Any]) -> None:
    if handles:
        *hooks, kind = handles
        for hook in hooks:
            hook.remove()
        linear.to(kind)


class Prefix(NamedTuple):
    """What rows follow: its keys and values, and its mask (rows, longest)."""

    cache: Any
    mask: torch.Tensor

    def repeated(self, times: int) -> Prefix:
        """Every row so often."""
        cache = _fresh(self.cache)
        cache.batch_repeat_interleave(times)
        return Prefix(cache, self.mask.repeat_interleave(times, 0))


def prefix_of(model: HFModel, prompts: Sequence[Tokens]) -> Prefix:
    """Prompts run once, so that what follows them can be run again and again."""
    ids, mask = model.pad_left(prompts)
    with torch.no_grad():
        return Prefix(model.forward(ids, mask, None, keep=1).past_key_values, mask)


def _fresh(value: Any) -> Any:
    """The same, but a cache as a copy that layers may extend: they put new tensors in place of its own."""
    if not isinstance(value, Cache):
        return value
    cache = copy.copy(value)
    cache.layers = [copy.copy(layer) for layer in value.layers]
    return cache
