"""What the method asks of a language model: log-probabilities of continuations, and text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypedDict

import numpy as np
import numpy.typing as npt


class Message(TypedDict):
    """One turn of a conversation, in the form every chat template takes."""

    role: Literal["system", "user", "assistant"]
    content: str


class Contrast(NamedTuple):
    """Context-aware decoding (Shi et al. 2023, arXiv 2305.14739): trust what the context changes.

    Each next-token distribution becomes softmax((1+α)·log p(·|prompt) − α·log p(·|without)).
    When text is generated, tokens below `plausibility` × the likeliest token's probability under
    the prompt are left out (Li et al. 2022, arXiv 2210.15097, Eq. 2), which keeps words whole.

    Where the context may not concern the prompt at all, the two are mixed: a continuation's
    probability is weight · P(contrasted) + (1 − weight) · P(without), the KGT paper's Eq. 1 with
    "none" among the facts. Token by token the weight follows by Bayes' rule from what was said so far.

    Attributes:
        without: the same prompt without the context.
        alpha: weight α ≥ 0; 0 is plain decoding.
        plausibility: in [0, 1]; 0 leaves every token in.
        weight: probability in (0, 1] that the context concerns the prompt.
    """

    without: str
    alpha: float = 1.0
    plausibility: float = 0.0
    weight: float = 1.0


class Prompt(NamedTuple):
    """A text to go on from, and how its continuation is decoded."""

    text: str
    contrast: Contrast | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt and the continuations to score after it; the prompt is computed once for all of them.

    A continuation is appended verbatim: the space between prompt and continuation is the caller's.
    """

    prompt: str
    continuations: tuple[str, ...]
    contrast: Contrast | None = None


class Scored(NamedTuple):
    """One continuation's score.

    Attributes:
        logprobs: natural log-probability of each of its tokens, float32, shape (n_tokens,).
        greedy: whether greedy generation from the prompt starts with exactly these tokens.
        behind: how far, in nats, its tokens at worst lie behind the likeliest ones; where that is no
            more than rounding (0.25 in bfloat16), another batch may make it greedy.
    """

    logprobs: npt.NDArray[np.float32]
    greedy: bool
    behind: float = 0.0

    @property
    def mean(self) -> float:
        """Mean log-probability a token: how ROME's code compares answers of different length."""
        return float(self.logprobs.mean())

    @property
    def probability(self) -> float:
        """exp(mean log-probability), in [0, 1]: the geometric mean of the tokens' probabilities."""
        return float(np.exp(self.logprobs.mean()))


class LanguageModel(Protocol):
    """A causal language model with fixed weights."""

    @property
    def name(self) -> str:
        """The name it was loaded by; stored with every edit."""
        ...

    def chat(self, messages: Sequence[Message], prefill: str = "") -> str:
        """The prompt for a conversation in the model's own format; the assistant's turn starts with `prefill`."""
        ...

    def count(self, text: str) -> int | None:
        """How many tokens a text has; None where the model's server does not tell."""
        ...

    def logprobs(self, requests: Sequence[Request]) -> list[list[Scored]]:
        """Score every continuation of every request, in order.

        Raises:
            BadInput: a continuation is empty, or a prompt is longer than the model's context.
        """
        ...

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
        """Text after the prompt, piece by piece; greedy at temperature 0, else sampled with `seed`.

        Ends at the model's end-of-text token, before the first stop string, or after `max_tokens`.

        Raises:
            BadInput: the prompt leaves no room in the model's context.
        """
        ...

    def generate_many(
        self, prompts: Sequence[Prompt], *, max_tokens: int, top_k: int = 1, seed: int | None = None
    ) -> list[str]:
        """Continue many prompts in one batch, each until it ends by itself or has max_tokens.

        Args:
            top_k: draw each token from the k likeliest; 1 is greedy.
        """
        ...
