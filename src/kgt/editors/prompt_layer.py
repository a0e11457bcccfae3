"""What editors share that change one layer's output at the prompt's last token, and no weights."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from kgt.editors.base import EditRequest, PlainEditor
from kgt.editors.network import Network
from kgt.lm.tokens import Tokens


class PromptLayerEditor(PlainEditor):
    """Beside one linear layer of a model, until `close`.

    Args:
        layer, part: the linear layer; by default the MLP's second.
    """

    def __init__(self, network: Network, layer: int, part: str = "") -> None:
        super().__init__(network.model)
        self.network = network
        self.linear = network.matrix(layer, part or None)
        self._prompt_pass = False
        self._hooks = [
            network.module.register_forward_pre_hook(self._watch, with_kwargs=True),
            self.linear.register_forward_hook(self._change),
        ]

    @abstractmethod
    def given(self, keys: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        """What the layer is to give at the last prompt token, shape (rows, out).

        Args:
            keys: its input there, float32, shape (rows, in).
            outputs: what it gives by itself.
        """

    def close(self) -> None:
        for hook in self._hooks:
            hook.remove()
        self.network.close()

    def pair(self, request: EditRequest) -> tuple[Tokens, Tokens]:
        """The tokens of the query as it is asked, and of the answer to be given."""
        return self.network.pair(self, request)

    def key(self, prompt: Tokens) -> tuple[torch.Tensor, int, torch.device]:
        """The layer's input at a prompt's last token, float32, and its output's width."""
        seen: list[torch.Tensor] = []
        hook = self.linear.register_forward_hook(lambda _, args, out: seen.extend((args[0][0, -1], out[0, -1])))
        try:
            with torch.no_grad():
                ids, mask = self.network.model.pad_left([prompt])
                self.network.model.forward(ids, mask, None, keep=1, use_cache=False)
        finally:
            hook.remove()
        return seen[0].float(), len(seen[1]), ids.device

    @contextmanager
    def put(self, value: Callable[[torch.Tensor], torch.Tensor], position: int) -> Iterator[None]:
        """Within this, the layer's output (1, out) at one position of one row is what `value` makes of it."""

        def replace(_: Any, __: Any, out: torch.Tensor) -> torch.Tensor:
            new = value(out[:, position]).to(out.dtype)
            return torch.cat([out[:, :position], new[:, None], out[:, position + 1 :]], 1)

        self._prompt_pass = False
        hook = self.linear.register_forward_hook(replace)
        try:
            yield
        finally:
            hook.remove()

    def _watch(self, _: Any, __: Any, kwargs: dict[str, Any]) -> None:
        """Note whether a pass reads prompts, whose last token is at the end; one that goes on from a cache does not."""
        cache = kwargs.get("past_key_values")
        self._prompt_pass = cache is None or cache.get_seq_length() == 0

    def _change(self, _: Any, args: tuple[torch.Tensor, ...], out: torch.Tensor) -> torch.Tensor:
        if not self._prompt_pass:
            return out
        new = self.given(args[0][:, -1].float(), out[:, -1])
        return out if new is out[:, -1] else torch.cat([out[:, :-1], new[:, None]], 1)
