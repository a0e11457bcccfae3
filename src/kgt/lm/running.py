"""Texts of several requests generated together: a forward pass gives each its next tokens, and others may join between.

Reading the weights from memory is most of what a pass over few tokens costs, so ten texts take hardly longer than
one, and one text may try several tokens at once: answers repeat their facts, so where the last words stand in the
prompt, what follows there is tried, and kept as far as it is what the model says (prompt lookup decoding: Saxena
2023; speculative decoding: Leviathan et al. 2023, arXiv 2211.17192). The text is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from kgt.lm.base import Contrast
from kgt.lm.decoding import COLDEST, Stream, log_odds
from kgt.lm.tokens import Tokens, check_room
from kgt.lm.torch_decoding import decoded, told_by

if TYPE_CHECKING:
    from kgt.lm.torch_model import TorchModel


FREE = 8
"""Tokens of a pass that take hardly longer than one: as many are filled by what may come next."""
LONGEST_MATCH = 3
"""Most of a text's last tokens that are looked for in its prompt."""


class Writing:
    """One text as it is written.

    Attributes:
        prompts: what it is written after, and with a contrast the contrasting prompt.
        done: whether it has ended; set it to have a text dropped.
        guessed: tokens that may come next.
        logits: after its prompts and after each of these tokens, (prompts, 1 + guessed, vocabulary).
    """

    def __init__(
        self,
        prompts: Sequence[Tokens],
        most: int,
        stop: Sequence[str],
        temperature: float,
        seed: int | None,
        contrast: Contrast | None,
    ) -> None:
        self.prompts = prompts
        self.most = most
        self.done = most < 1
        self.guessed: Tokens = ()
        self.logits = torch.empty(0)
        self._tokens: list[int] = []
        self._shown = Stream(stop)
        self._ready: list[str] = []
        self._temperature, self._contrast = temperature, contrast
        self._odds = log_odds(contrast.weight) if contrast else 0.0
        warm = temperature >= COLDEST
        self._sampler = torch.Generator().manual_seed(torch.seed() if seed is None else seed) if warm else None

    def pieces(self) -> Iterator[str]:
        """What can be shown by now and was not yet given."""
        ready, self._ready = self._ready, []
        yield from ready

    def guess(self, most: int) -> Tokens:
        """At most so many tokens that may come next: what follows in the prompt where the last tokens first stand."""
        most = min(most, self.most - len(self._tokens) - 1)
        if not self._contrast or most < 1:  # texts without facts stay what they are, to the last rounding
            return ()
        prompt = self.prompts[0]
        for n in range(min(LONGEST_MATCH, len(self._tokens)), 0, -1):
            last = tuple(self._tokens[-n:])
            for end in range(n, len(prompt)):
                if prompt[end - n : end] == last:
                    return prompt[end : end + most]
        return ()

    def go_on(self, model: TorchModel) -> list[int]:
        """Take the next token, and another one as long as they are those guessed; the last may be the text's end."""
        taken: list[int] = []
        while not taken or (not self.done and tuple(taken) == self.guessed[: len(taken)]):
            taken.append(self._next(self.logits[:, len(taken)].float().log_softmax(-1), model))
        self.logits = torch.empty(0)
        return taken

    def _next(self, logp: torch.Tensor, model: TorchModel) -> int:
        """Take a token from the distributions after the prompts, (prompts, vocabulary)."""
        final = decoded(logp[:1], logp[1:], self._contrast, self._odds)[0]
        if self._sampler:
            token = int(torch.multinomial((final / self._temperature).softmax(-1).cpu(), 1, generator=self._sampler))
        else:
            token = int(final.argmax())
        self.done = token in model.ends
        if not self.done:
            self._odds += told_by(token, logp[:1], logp[1:], self._contrast)
            self._tokens.append(token)
            self._ready += self._shown.grown(model.decode(self._tokens))
            self.done = self._shown.stopped or len(self._tokens) == self.most
        if self.done:
            self._ready += self._shown.rest()
        return token


class Running:
    """The texts that a model is writing."""

    def __init__(self, model: TorchModel) -> None:
        self._model = model
        self._texts: list[Writing] = []
        self._joining: list[Writing] = []
        self._mask = torch.empty(0, 0, dtype=torch.long)
        self._width = 1  # tokens read of each text in the last pass
        self._cache: Any = None

    def __len__(self) -> int:
        return len(self._texts) + len(self._joining)

    @property
    def open(self) -> bool:
        """Whether a text may join now; caches of other than plain attention cannot be put together."""
        return not len(self) or self._model.can_pack

    def write(
        self,
        prompt: str,
        max_tokens: int,
        stop: Sequence[str],
        temperature: float,
        seed: int | None,
        contrast: Contrast | None,
    ) -> Writing:
        """A text to be written; it is still to `join`. Arguments as for `LanguageModel.generate`.

        Raises:
            BadInput: the prompt leaves no room in the model's context.
        """
        encode = self._model.encode
        prompts = [encode(prompt)] + ([encode(contrast.without)] if contrast else [])
        check_room(max(map(len, prompts)) + max_tokens, self._model.context, self._model.name)
        return Writing(prompts, max_tokens, stop, temperature, seed, contrast)

    def join(self, text: Writing) -> None:
        """Have a text written from the next step on."""
        self._joining.append(text)

    @torch.inference_mode()
    def step(self) -> None:
        """Give every text its next token, and those after it that were guessed right."""
        self._read_new()
        rows: list[int] = []
        tokens: list[int] = []
        left: list[Writing] = []
        at, start = 0, self._mask.shape[1] - self._width
        for text in self._texts:
            own = slice(at, at + len(text.prompts))
            at = own.stop
            if text.done:
                continue
            taken = text.go_on(self._model)
            if not text.done:
                self._mask[own, start + len(taken) : start + 1 + len(text.guessed)] = 0
                left.append(text)
                rows += range(own.start, own.stop)
                tokens.append(taken[-1])
        if len(left) < len(self._texts):
            self._keep(rows)
        elif self._width > 1:
            self._cut()
        self._texts = left
        if left:
            self._read(tokens)

    def _read(self, tokens: Sequence[int]) -> None:
        """Read each text's last token, and what may come after it."""
        rows = sum(len(text.prompts) for text in self._texts)
        most = FREE // rows - 1 if self._model.can_pack else 0
        for text in self._texts:
            text.guessed = text.guess(most)
        self._width = 1 + max(len(text.guessed) for text in self._texts)
        ids, mask = [], []
        for text, token in zip(self._texts, tokens, strict=True):
            fill = self._width - 1 - len(text.guessed)
            ids += [[token, *text.guessed, *[0] * fill]] * len(text.prompts)
            mask += [[1] * (self._width - fill) + [0] * fill] * len(text.prompts)
        device = self._model.device
        self._mask = torch.cat([self._mask, torch.tensor(mask, device=device)], 1)
        out = self._model.forward(torch.tensor(ids, device=device), self._mask, self._cache, keep=self._width)
        _share_out(out.logits, self._texts)

    def _read_new(self) -> None:
        """Read the prompts of the texts that join, and put them below the others."""
        new, self._joining = [text for text in self._joining if not text.done], []
        if not new:
            return
        go_on = bool(self._texts) or any(text.most > 1 for text in new)
        plain = {text.prompts[0] for text in new if len(text.prompts) == 1}
        logits, cache, mask = self._model.read([p for text in new for p in text.prompts], go_on=go_on, plain=plain)
        _share_out(logits[:, None], new)
        if self._texts:
            width = max(mask.shape[1], self._mask.shape[1])
            cache = self._model.cache_of(_joined(_widened(self._cache, width), _widened(cache, width)))
            mask = torch.cat([_padded(self._mask, width), _padded(mask, width)])
        self._texts += new
        self._cache, self._mask = cache, mask

    def _keep(self, rows: list[int]) -> None:
        """Drop the other rows, and the columns that only they needed, of padding and of what was guessed wrong."""
        if not rows:
            self._cache = None
            return
        at = torch.tensor(rows, device=self._mask.device)
        if not self._model.can_pack:
            self._cache.batch_select_indices(at)
            self._mask = self._mask[at]
            return
        mask = self._mask[at]
        used = mask.any(0).nonzero()[:, 0]
        self._mask = mask[:, used]
        layers = self._cache.layers
        self._cache = self._model.cache_of((x.keys[at][:, :, used], x.values[at][:, :, used]) for x in layers)

    def _cut(self) -> None:
        """Drop the last columns where no text has a token: what was guessed wrong."""
        end = int(self._mask.any(0).nonzero()[-1]) + 1
        if end < self._mask.shape[1]:
            self._mask = self._mask[:, :end]
            layers = self._cache.layers
            self._cache = self._model.cache_of((x.keys[:, :, :end], x.values[:, :, :end]) for x in layers)


def _share_out(logits: torch.Tensor, texts: Sequence[Writing]) -> None:
    """Give each text its rows of (rows, n, vocabulary); what only fills a row up is left out."""
    for text, own in zip(texts, torch.split(logits, [len(text.prompts) for text in texts]), strict=True):
        text.logits = own[:, : 1 + len(text.guessed)]


def _padded(mask: torch.Tensor, width: int) -> torch.Tensor:
    return torch.nn.functional.pad(mask, (width - mask.shape[1], 0))


def _widened(cache: Any, width: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A cache's keys and values, (rows, heads, width, width of a head), with nothing before what they hold."""

    def wide(states: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(states, (0, 0, width - states.shape[2], 0))

    return [(wide(layer.keys), wide(layer.values)) for layer in cache.layers]


def _joined(
    above: list[tuple[torch.Tensor, torch.Tensor]], below: list[tuple[torch.Tensor, torch.Tensor]]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for (k, v), (k2, v2) in zip(above, below, strict=True):
        yield torch.cat([k, k2]), torch.cat([v, v2])
