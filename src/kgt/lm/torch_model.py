"""What all models that torch runs in this process share: scoring and generation in packed rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import torch

from kgt.lm.base import Contrast, Message, Prompt, Request, Scored
from kgt.lm.decoding import log_odds
from kgt.lm.packing import Pack, Text, pack, packs
from kgt.lm.prefixes import Known, PrefixCache, opening_of
from kgt.lm.running import Running
from kgt.lm.tokens import Tokens, check_room, following
from kgt.lm.torch_decoding import decode_contrast, decoded, mix, odds_before, told_by

BATCH_TOKENS = 6144
"""Most padded tokens in one forward pass: bounds memory, and 2 cores gain nothing from more."""

PACK_TOKENS_CPU, PACK_TOKENS_GPU = 512, 4096
"""Most tokens in one packed row: enough to keep it busy, few enough that the
attention of texts that do not see each other, which is computed and thrown away, weighs little."""


class TorchModel(ABC):
    """A model in torch; see `kgt.lm.base.LanguageModel` for the meaning of its methods.

    Args:
        module: called as transformers' causal models are.
        ends: tokens that end a text.

    Attributes:
        can_pack: whether its attention can be told which tokens see each other.
        shortcuts: whether texts share a row, and prompts what they begin with alike; False while an editor
            has its hands in the model, which needs prompts computed alone and anew.
    """

    def __init__(self, module: Any, name: str, *, context: int, ends: Sequence[int], can_pack: bool) -> None:
        self.name = name
        self.module = module
        self.device: torch.device = module.device
        self.context = context
        self.ends = frozenset(ends)
        self._pad = ends[0] if ends else 0
        self.shortcuts = self.can_pack = can_pack
        self.prefixes: PrefixCache[torch.Tensor] = PrefixCache()
        self._pack_tokens = PACK_TOKENS_CPU if self.device.type == "cpu" else PACK_TOKENS_GPU

    @abstractmethod
    def chat(self, messages: Sequence[Message], prefill: str = "") -> str:
        """See `LanguageModel.chat`."""

    @abstractmethod
    def encode(self, text: str) -> Tokens:
        """The tokens of a text, at least one; special tokens are what the chat template wrote into it."""

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""

    @abstractmethod
    def cache_of(self, pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Any:
        """Each layer's keys and values, (rows, heads, length, width of a head), as the module takes them."""

    @abstractmethod
    def weights(self) -> dict[str, torch.Tensor]:
        """All weights by their names in the model's file, in the type they are computed in."""

    def count(self, text: str) -> int:
        return len(self.encode(text)) if text else 0

    def logprobs(self, requests: Sequence[Request]) -> list[list[Scored]]:
        rows = [self._rows(request) for request in requests]
        scored: list[list[Scored]] = [[] for _ in requests]
        for batch in _batches(rows):
            distributions = self._distributions([pair for i in batch for pair in rows[i]])
            for i in batch:
                contrast = requests[i].contrast
                for _ in requests[i].continuations:
                    tokens, logp = next(distributions)
                    if contrast:
                        _, without = next(distributions)
                        greedy = decode_contrast(logp, without, contrast)
                        logp = decode_contrast(logp, without, contrast._replace(plausibility=0.0))
                        if contrast.weight < 1:
                            odds = odds_before(tokens, logp, without, contrast.weight)
                            greedy, logp = mix(greedy, without, odds), mix(logp, without, odds)
                    else:
                        greedy = logp
                    chosen = logp.gather(1, tokens[:, None])[:, 0]
                    is_greedy = bool((greedy.argmax(1) == tokens).all())
                    behind = (greedy.max(1).values - greedy.gather(1, tokens[:, None])[:, 0]).max()
                    scored[i].append(Scored(chosen.cpu().numpy(), is_greedy, float(behind)))
        return scored

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 64,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
        contrast: Contrast | None = None,
    ) -> Iterator[str]:
        running = self.running()
        text = running.write(prompt, max_tokens, stop, temperature, seed, contrast)
        running.join(text)
        while not text.done:
            running.step()
            yield from text.pieces()

    def running(self) -> Running:
        """Texts to be generated together, in common passes."""
        return Running(self)

    @torch.inference_mode()
    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        top_k: int = 1,
        seed: int | None = None,
    ) -> list[str]:
        encoded = [self.encode(p.text) for p in prompts]
        without = [self.encode(p.contrast.without) for p in prompts if p.contrast]
        if not encoded:
            return []
        check_room(max(map(len, encoded + without)) + max_tokens, self.context, self.name)
        contrasted = torch.tensor([i for i, p in enumerate(prompts) if p.contrast], dtype=torch.long)
        sampler = torch.Generator(device="cpu").manual_seed(seed if seed is not None else torch.seed())
        texts: list[list[int]] = [[] for _ in prompts]
        running = [True] * len(prompts)
        odds = [log_odds(p.contrast.weight) if p.contrast else 0.0 for p in prompts]
        logits, cache, mask = self.read(encoded + without)
        for step in range(max_tokens):
            logp = logits.float().log_softmax(-1)
            final = logp[: len(prompts)].clone()
            for row, i in enumerate(contrasted.tolist(), start=len(prompts)):
                final[i] = decoded(logp[i : i + 1], logp[row : row + 1], prompts[i].contrast, odds[i])[0]
            likeliest = final.topk(top_k)
            drawn = torch.multinomial(likeliest.values.softmax(-1).cpu(), 1, generator=sampler).to(self.device)
            chosen = likeliest.indices.gather(1, drawn)
            for row, i in enumerate(contrasted.tolist(), start=len(prompts)):
                token = int(chosen[i, 0])
                odds[i] += told_by(token, logp[i : i + 1], logp[row : row + 1], prompts[i].contrast)
            for i, token in enumerate(chosen[:, 0].tolist()):
                running[i] = running[i] and token not in self.ends
                if running[i]:
                    texts[i].append(token)
            if not any(running) or step == max_tokens - 1:
                break
            ids = torch.cat([chosen, chosen[contrasted.to(self.device)]])
            mask = torch.cat([mask, torch.ones_like(ids)], 1)
            logits = self.forward(ids, mask, cache, keep=1).logits[:, -1]
        return [self.decode(tokens) for tokens in texts]

    # -- tensors: also what editors of the weights work with ---------------------------------------

    def _rows(self, request: Request) -> list[tuple[Tokens, Tokens]]:
        """(prompt, continuation) token pairs, each followed by its contrasting pair if there is one."""
        prompts = [self.encode(request.prompt)]
        if request.contrast:
            prompts.append(self.encode(request.contrast.without))
        rows: list[tuple[Tokens, Tokens]] = []
        for continuation in request.continuations:
            tokens = following(self.encode, request.prompt, prompts[0], continuation)
            check_room(max(map(len, prompts)) + len(tokens), self.context, self.name)
            rows += [(prompt, tokens) for prompt in prompts]
        return rows

    def split(self, prompt: str, continuation: str) -> tuple[Tokens, Tokens]:
        """Tokens of the prompt and of what follows it; see `kgt.lm.tokens.following`."""
        head = self.encode(prompt)
        return head, following(self.encode, prompt, head, continuation)

    @torch.inference_mode()
    def _distributions(self, rows: Sequence[tuple[Tokens, Tokens]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """For each row its continuation's tokens (n,) and next-token log-probabilities (n, vocabulary), float32."""
        distinct = list(dict.fromkeys(rows))
        logits = (
            dict(self._packed(distinct)) if self.shortcuts else dict(zip(distinct, self._padded(distinct), strict=True))
        )
        for row in rows:
            yield torch.tensor(row[1], device=self.device), logits[row].float().log_softmax(-1)

    def _packed(self, rows: Sequence[tuple[Tokens, Tokens]]) -> Iterator[tuple[tuple[Tokens, Tokens], torch.Tensor]]:
        """Rows, in any order, and their logits; each prompt is read once."""
        after: dict[Tokens, dict[Tokens, list[Tokens]]] = {}  # a continuation's last token is predicted, not read
        for prompt, continuation in rows:
            after.setdefault(prompt, {}).setdefault(continuation[:-1], []).append(continuation)
        ends = {prompt: list(found) for prompt, found in after.items()}
        for texts in packs(ends, self.prefixes.find, self._pack_tokens):
            packed, out = self._run(texts)
            at = iter(out.logits[0])
            for text, places in zip(texts, packed.ends, strict=True):
                head = next(at)[None]
                for end, place in zip(text.ends, places, strict=True):
                    logits = torch.cat([head, *(next(at)[None] for _ in place)])
                    for continuation in after[text.prompt][end]:
                        yield (text.prompt, continuation), logits

    def _run(self, texts: Sequence[Text]) -> tuple[Pack, Any]:
        """One pass over a pack; logits of each prompt's last token, and of its ends' tokens behind it."""
        packed = pack(texts, self.module.dtype, self.device, self.cache_of)
        wanted = []
        for last, places in zip(packed.lasts, packed.ends, strict=True):
            wanted += [last, *(i for place in places for i in place)]
        out = self.module(
            input_ids=packed.ids,
            attention_mask=packed.mask,
            position_ids=packed.positions,
            past_key_values=packed.cache,
            use_cache=True,
            logits_to_keep=torch.tensor(wanted, device=self.device),
        )
        states = None
        for text, stand in zip(texts, packed.prompts, strict=True):
            if self.prefixes.wants(text.prompt):
                if states is None:
                    states = _stacked(out.past_key_values)
                self.prefixes.keep(text.prompt, states[:, :, :, torch.tensor(stand, device=self.device)])
        return packed, out

    def _padded(self, rows: Sequence[tuple[Tokens, Tokens]]) -> Iterator[torch.Tensor]:
        """The logits of rows in two passes: every prompt alone, then the continuations on top of their states."""
        prompts = list(dict.fromkeys(prompt for prompt, _ in rows))
        place = {prompt: i for i, prompt in enumerate(prompts)}
        long = [i for i, (_, continuation) in enumerate(rows) if len(continuation) > 1]
        ids, mask = self.pad_left(prompts)
        out = self.forward(ids, mask, None, keep=1, use_cache=bool(long))
        first = out.logits[:, -1:]
        later: dict[int, torch.Tensor] = {}
        if long:
            index = torch.tensor([place[rows[i][0]] for i in long], device=self.device)
            out.past_key_values.batch_select_indices(index)
            width = max(len(rows[i][1]) for i in long) - 1
            step = torch.full((len(long), width), self._pad, device=self.device)
            step_mask = torch.zeros_like(step)
            for r, i in enumerate(long):
                tokens = rows[i][1][:-1]
                step[r, : len(tokens)] = torch.tensor(tokens, device=self.device)
                step_mask[r, : len(tokens)] = 1
            logits = self.forward(step, torch.cat([mask[index], step_mask], 1), out.past_key_values, keep=0).logits
            later = {i: logits[r, : len(rows[i][1]) - 1] for r, i in enumerate(long)}
        for i, (prompt, _) in enumerate(rows):
            head = first[place[prompt]]
            yield torch.cat([head, later[i]]) if i in later else head

    def read(
        self, prompts: Sequence[Tokens], *, go_on: bool = True, plain: Collection[Tokens] = ()
    ) -> tuple[torch.Tensor, Any, torch.Tensor]:
        """Logits after each prompt (prompts, vocabulary), and to `go_on` from there the cache, and its mask.

        Args:
            plain: those that are to be read in the same way however often they are.
        """
        ids, mask = self.pad_left(prompts)
        if not self.shortcuts:
            out = self.forward(ids, mask, None, keep=1)
            return out.logits[:, -1], out.past_key_values, mask
        width = ids.shape[1]
        logits: dict[Tokens, torch.Tensor] = {}
        states: dict[Tokens, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        if plain and self.prefixes.opening is None:
            self._open()

        def find(prompt: Tokens) -> Known[torch.Tensor]:
            return self.prefixes.find(prompt, plain=prompt in plain)

        for texts in packs({p: [()] for p in prompts}, find, self._pack_tokens):
            packed, out = self._run(texts)
            for row, (text, places) in enumerate(zip(texts, packed.prompts, strict=True)):
                logits[text.prompt] = out.logits[0, row]
                if not go_on:
                    continue
                at = torch.tensor([places[0]] * (width - len(places)) + places, device=self.device)
                states[text.prompt] = [(x.keys[0][:, at], x.values[0][:, at]) for x in out.past_key_values.layers]
        cache = None
        if go_on:
            layers = zip(*(states[prompt] for prompt in prompts), strict=True)
            cache = self.cache_of((torch.stack([k for k, _ in x]), torch.stack([v for _, v in x])) for x in layers)
        return torch.stack([logits[prompt] for prompt in prompts]), cache, mask

    def _open(self) -> None:
        """Read what the prompts of plain questions begin with, by itself: elsewhere it would be rounded otherwise."""
        opening = opening_of(self.chat, self.encode)
        states = None
        if opening:
            states = _stacked(self.forward(*self.pad_left([opening]), None, keep=1).past_key_values)
        self.prefixes.opening = Known(opening, states)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: Any, *, keep: int, use_cache: bool = True) -> Any:
        """One pass over ids (rows, n) after a cache; mask (rows, cached + n); logits of the last `keep` (0: all)."""
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        return self.module(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=use_cache,
            logits_to_keep=keep,
        )

    def pad_left(self, prompts: Sequence[Tokens]) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and their mask, each (rows, longest)."""
        width = max(map(len, prompts))
        ids = torch.tensor([(self._pad,) * (width - len(p)) + p for p in prompts], device=self.device)
        mask = torch.tensor([(0,) * (width - len(p)) + (1,) * len(p) for p in prompts], device=self.device)
        return ids, mask


def _stacked(cache: Any) -> torch.Tensor:
    """The keys and values of a cache's first row, (layers, 2, heads, length, width of a head)."""
    return torch.stack([torch.stack([x.keys[0], x.values[0]]) for x in cache.layers])


def _batches(rows: Sequence[Sequence[tuple[Tokens, Tokens]]]) -> Iterator[list[int]]:
    """Indices of requests that fit one forward pass, similar lengths together to save padding."""

    def length(i: int) -> int:
        return max((len(p) + len(c) for p, c in rows[i]), default=0)

    batch: list[int] = []
    size = 0
    for i in sorted((i for i in range(len(rows)) if rows[i]), key=length):
        size += len(rows[i])
        if batch and size * length(i) > BATCH_TOKENS:
            yield batch
            batch, size = [], len(rows[i])
        batch.append(i)
    if batch:
        yield batch
