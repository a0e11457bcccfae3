"""Small random models for the backends."""

from ..tiny_models import folder_of, tiny

__all__ = ["folder_of", "tiny"]
