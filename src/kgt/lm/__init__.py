"""Language models behind two verbs: `logprobs` and `generate`."""

from kgt.lm.base import Contrast, LanguageModel, Message, Request, Scored
from kgt.lm.catalog import DEFAULT_MODEL, load_model, model_names

__all__ = [
    "DEFAULT_MODEL",
    "Contrast",
    "LanguageModel",
    "Message",
    "Request",
    "Scored",
    "load_model",
    "model_names",
]
