"""A model folder run straight on torch, without transformers: a Llama on a CPU, ready in half the time."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from kgt.lm.base import Message
from kgt.lm.device import checked_device, checked_dtype
from kgt.lm.llama import Llama, shape_of
from kgt.lm.states import States
from kgt.lm.template import ChatTemplate
from kgt.lm.tokens import Tokens
from kgt.lm.torch_model import TorchModel

log = logging.getLogger(__name__)

SPECIALS = tuple(f"{kind}_token" for kind in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
"""What a chat template may name."""


class DirectModel(TorchModel):
    """A `kgt.lm.llama.Llama` with its tokenizer and chat template."""

    def __init__(self, module: Llama, folder: Path, name: str) -> None:
        from tokenizers import Tokenizer

        self._folder = folder
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        written = _read(folder / "tokenizer_config.json")
        if "added_tokens_decoder" not in written:  # as transformers has it, for folders of older versions
            written |= _read(folder / "special_tokens_map.json")
        specials = {kind: _text(written[kind]) for kind in SPECIALS if written.get(kind)}
        template = folder / "chat_template.jinja"
        source = template.read_text(encoding="utf-8") if template.is_file() else written.get("chat_template") or ""
        self._template = ChatTemplate(source, specials)
        own = {kind: self._tokenizer.token_to_id(token) for kind, token in specials.items()}
        if None in own.values():
            raise ValueError("a special token that tokenizer.json does not have")
        generation = folder / "generation_config.json"
        told = _read(generation if generation.is_file() else folder / "config.json").get("eos_token_id")
        flat = [*(told if isinstance(told, list) else [told]), own.get("eos_token")]
        ends = [i for i in flat if i is not None]
        super().__init__(module, name, context=module.shape.context, ends=ends, can_pack=True)

    @classmethod
    def load(cls, folder: Path, name: str, *, device: str = "auto", dtype: str = "auto") -> DirectModel | None:
        """A folder's model; None where it is no plain Llama, or is to run elsewhere than on a CPU, or is damaged.

        Args:
            device, dtype: as of `HFModel.load`, which then loads it, or says what is wrong.

        Raises:
            BadInput: there is no such device or type.
        """
        if checked_device(device) != "cpu":
            return None
        kind = checked_dtype(dtype, "cpu")
        try:
            shape = shape_of(folder)
            if shape is None or kind not in (torch.bfloat16, torch.float32):
                return None
            return cls(Llama(shape, _tensors(folder, kind)).eval(), folder, name)
        except Exception as error:  # many kinds; transformers has the words for what is wrong with a folder
            log.debug("%s is left to transformers: %r", name, error)
            return None

    def chat(self, messages: Sequence[Message], prefill: str = "") -> str:
        return self._template.prompt(messages, prefill)

    def encode(self, text: str) -> Tokens:
        return tuple(self._tokenizer.encode(text, add_special_tokens=False).ids) or (self._pad,)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=False))

    def cache_of(self, pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> States:
        return States(pairs)

    def weights(self) -> dict[str, torch.Tensor]:
        found = _tensors(self._folder, self.module.dtype)
        return {"lm_head.weight": found["model.embed_tokens.weight"], **found}


def _tensors(folder: Path, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return {name: tensor.to(dtype) for name, tensor in load_file(folder / "model.safetensors").items()}


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def _text(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)
