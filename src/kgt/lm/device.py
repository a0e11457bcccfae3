"""Where a torch model runs, and in which type."""

from __future__ import annotations

import torch


def pick_device() -> str:
    """The fastest device at hand: cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def pick_dtype(device: str) -> torch.dtype:
    """bfloat16 on a GPU, or on a CPU that multiplies in it; else float32, faster there than emulation."""
    if device != "cpu":
        return torch.bfloat16
    try:
        native = bool(torch.cpu._is_avx512_bf16_supported())
    except AttributeError:  # a private name, gone or renamed in this torch
        native = False
    return torch.bfloat16 if native else torch.float32
