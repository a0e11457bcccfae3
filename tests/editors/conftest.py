"""Small random models for the weight editors."""

from ..tiny_models import folder_of, tiny

__all__ = ["folder_of", "tiny"]
