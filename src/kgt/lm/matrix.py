"""A linear map whose weights lie as the processor's matrix unit reads them, so that no pass has to rearrange them."""

from __future__ import annotations

import torch
from torch.nn.functional import linear


class Matrix:
    """A linear map, (…, in) → (…, out), in oneDNN's own layout where it has one.

    Args:
        weight: (out, in).
        bias: (out,).
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
        arranged = _arranged(weight)
        self.arranged = arranged is not None
        self.weight = weight if arranged is None else arranged
        self.bias = bias

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        if not self.arranged:
            return linear(x, self.weight, self.bias)
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
        return out


def _arranged(weight: torch.Tensor) -> torch.Tensor | None:
    if weight.dtype != torch.bfloat16:
        return None
    try:
        return torch.ops.mkldnn._reorder_linear_weight(weight, None)  # type: ignore[no-any-return]
    except (AttributeError, RuntimeError, NotImplementedError):  # torch's inductor uses them; they are not public
        return None
