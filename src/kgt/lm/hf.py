"""Any causal language model that transformers loads: a hub name, a local folder or a GGUF file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedTokenizerFast
from transformers.cache_utils import DynamicLayer

from kgt.errors import ModelError
from kgt.lm.base import Message
from kgt.lm.device import checked_device, checked_dtype
from kgt.lm.template import plain
from kgt.lm.tokens import Tokens
from kgt.lm.torch_model import TorchModel


class HFModel(TorchModel):
    """A transformers model.

    Attributes:
        module: the torch module, which weight editors change in place.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        ends = [model.generation_config.eos_token_id, tokenizer.eos_token_id]
        super().__init__(
            model.eval(),
            name,
            context=getattr(model.config, "max_position_embeddings", None) or 1_000_000,
            ends=[i for e in ends if e is not None for i in (e if isinstance(e, list) else [e])],
            can_pack=_can_pack(model),
        )
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, source: str | Path, name: str, *, device: str = "auto", dtype: str = "auto") -> HFModel:
        """Load a model folder or hub name.

        Args:
            device: "auto", "cpu", "cuda", "mps" …
            dtype: "auto" (bfloat16 where the hardware computes in it, else float32) or a torch dtype's name.

        Raises:
            BadInput: there is no such device or type.
            ModelError: it is not there, is not a causal model, or its files are damaged.
        """
        place = checked_device(device)
        kind = checked_dtype(dtype, place)
        tokenizer = tokenizer_of(source, name)
        try:
            model = AutoModelForCausalLM.from_pretrained(source, dtype=kind)
        except Exception as error:  # transformers, safetensors and the hub raise many kinds
            raise _unloadable(name, error) from error
        return cls(model.to(place), tokenizer, name)

    def chat(self, messages: Sequence[Message], prefill: str = "") -> str:
        if self.tokenizer.chat_template:
            prompt = self.tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
            return str(prompt) + prefill
        return plain(messages, prefill)

    def encode(self, text: str) -> Tokens:
        return tuple(self.tokenizer(text, add_special_tokens=False)["input_ids"]) or (self._pad,)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens))

    def cache_of(self, pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> DynamicCache:
        return DynamicCache(list(pairs))

    def weights(self) -> dict[str, torch.Tensor]:
        return dict(self.module.state_dict())


def _check_hub(name: str) -> None:
    """Fail at once where the hub cannot be reached and the model is not in its cache; asking it takes a minute.

    Raises:
        ModelError: as above.
    """
    from huggingface_hub import constants, get_session, try_to_load_from_cache

    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return
    except ValueError as error:
        raise ModelError(f"{name!r} cannot be a model's name: {first_line(error)}", "See `kgt models`.") from error
    try:
        if constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception as error:  # whatever the HTTP library of the day raises
        raise ModelError(
            f"The model {name!r} is not on this machine, and the model hub cannot be reached ({first_line(error)}).",
            "Go online once to fetch it, give a model folder or a .gguf file, or use one that `kgt models` lists.",
        ) from error


def _can_pack(model: Any) -> bool:
    """Whether a model has plain attention in every layer and learns positions from `position_ids`."""
    config = model.config
    plain = all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
    return plain and "position_ids" in signature(model.forward).parameters and not getattr(config, "alibi", False)


def tokenizer_of(source: str | Path, name: str) -> Any:
    """The tokenizer of a model folder or hub name.

    Raises:
        ModelError: there is none, or the hub cannot be reached.
    """
    if not Path(source).exists():
        _check_hub(name)
    try:
        return load_tokenizer(source)
    except Exception as error:  # transformers, tokenizers and the hub raise many kinds
        raise _unloadable(name, error) from error


def _unloadable(name: str, error: Exception) -> ModelError:
    return ModelError(
        f"The model {name!r} could not be loaded: {first_line(error)}",
        "Give a folder with a transformers model, a .gguf file, or a hub name while online;"
        " `kgt models` lists what runs without a network.",
    )


def load_tokenizer(source: str | Path) -> Any:
    """A tokenizer; a folder with tokenizer.json skips AutoTokenizer's search, 0.3 s instead of 1.6 s."""
    if (Path(source) / "tokenizer.json").is_file():
        return PreTrainedTokenizerFast.from_pretrained(source)
    return AutoTokenizer.from_pretrained(source)


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
