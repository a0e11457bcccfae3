"""What every backend does with tokens: where a continuation begins, and whether a text fits."""

from __future__ import annotations

from collections.abc import Callable

from kgt.errors import BadInput

Tokens = tuple[int, ...]


def following(encode: Callable[[str], Tokens], prompt: str, head: Tokens, continuation: str) -> Tokens:
    """The tokens of what follows a prompt, tokenised together with it where the joint is clean.

    SentencePiece tokenisers give " x" two tokens on its own but one after text, as
    lm-evaluation-harness found; so the pair is encoded whole and cut at the prompt's length.

    Args:
        head: the prompt's own tokens.

    Raises:
        BadInput: the continuation is empty.
    """
    check_continuation(continuation)
    whole = encode(prompt + continuation)
    if len(whole) > len(head) and whole[: len(head)] == head:
        return whole[len(head) :]
    return encode(continuation)


def check_continuation(text: str) -> None:
    """Refuse an empty continuation.

    Raises:
        BadInput: as said.
    """
    if not text:
        raise BadInput("A continuation to score is empty.", "Give at least one character.")


def check_room(tokens: int, most: int, model: str) -> None:
    """Refuse a text of more tokens than a model takes.

    Raises:
        BadInput: as said.
    """
    if tokens > most:
        raise BadInput(
            f"The text needs {tokens:,} tokens; {model} takes {most:,}.", "Shorten the query or the conversation."
        )


def alike(some: Tokens, others: Tokens) -> int:
    """How many tokens two texts begin with alike."""
    pairs = zip(some, others, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(some), len(others)))
