"""One progress style, ours: transformers' own bars and notices stay off the screen."""

from __future__ import annotations


def quiet_transformers() -> None:
    """Have transformers speak of errors only."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
