"""Where a torch model runs, and in which type."""

from __future__ import annotations

import torch

from kgt.errors import BadInput


def pick_device() -> str:
    """The fastest device at hand: cuda, mps or cpu."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def checked_device(name: str) -> str:
    """A device by its name in torch, or the fastest for "auto".

    Raises:
        BadInput: there is none of that name here.
    """
    if name == "auto":
        return pick_device()
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        raise BadInput(f"There is no device {name!r} here.", "Give auto, cpu, cuda or mps (KGT_DEVICE).") from error
    return name


def checked_dtype(name: str, device: str) -> torch.dtype:
    """A type of floating-point numbers by its name in torch, or what suits the device for "auto".

    Raises:
        BadInput: there is none of that name.
    """
    if name == "auto":
        return pick_dtype(device)
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise BadInput(
            f"There is no type {name!r} for weights.", "Give auto, bfloat16, float32 or float16 (KGT_DTYPE)."
        )
    return found


def pick_dtype(device: str) -> torch.dtype:
    """bfloat16 on a GPU, or on a CPU that multiplies in it; else float32, faster there than emulation."""
    if device != "cpu":
        return torch.bfloat16
    try:
        native = bool(torch.cpu._is_avx512_bf16_supported())
    except AttributeError:  # a private name, gone or renamed in this torch
        native = False
    return torch.bfloat16 if native else torch.float32
