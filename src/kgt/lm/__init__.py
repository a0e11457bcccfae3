"""Language models behind two verbs: score (`logprobs`) and generate."""

from kgt.lm.base import Contrast, LanguageModel, Message, Prompt, Request, Scored
from kgt.lm.catalog import DEFAULT_MODEL, check_editable, load_model, model_names

__all__ = [
    "DEFAULT_MODEL",
    "Contrast",
    "LanguageModel",
    "Message",
    "Prompt",
    "Request",
    "Scored",
    "check_editable",
    "load_model",
    "model_names",
]
