"""Small random models of each architecture that the weight editors support."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kgt.lm import load_model

if TYPE_CHECKING:
    from kgt.lm.hf import HFModel

WORDS = "The mother tongue of Danielle Darrieux is French, that of Victor Hugo is French. User: Assistant: Complete"
GATED = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 2}
OLDER = {"n_embd": 32, "n_layer": 4, "n_head": 2, "n_positions": 256}
ARCHITECTURES = {
    "gpt2": OLDER,
    "gptj": {**OLDER, "rotary_dim": 8},
    "llama": {**GATED, "num_key_value_heads": 1},
    "mistral": {**GATED, "num_key_value_heads": 1, "sliding_window": None},
    "qwen2": {**GATED, "num_key_value_heads": 1},
    "qwen3": {**GATED, "num_key_value_heads": 1, "head_dim": 16},
}


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with a random model of an architecture."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind in made:
            return made[kind]
        folder = tmp_path_factory.mktemp(kind)
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=320, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator([WORDS] * 2, trainer)
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
        torch.manual_seed(0)
        ends = {"eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0, "vocab_size": 320}
        config = CONFIG_MAPPING[kind](**ARCHITECTURES[kind], **ends)
        model = AutoModelForCausalLM.from_config(config)
        for parameter in model.parameters():  # far enough from zero that layers matter
            if parameter.ndim > 1:
                torch.nn.init.normal_(parameter, std=0.1)
        model.save_pretrained(folder)
        made[kind] = folder
        return folder

    return make


@pytest.fixture(scope="session")
def tiny(folder_of: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], HFModel]:
    """A random model of an architecture, float32, run by transformers."""
    from kgt.lm.hf import HFModel

    def make(kind: str) -> HFModel:
        model = load_model(f"hf:{folder_of(kind)}", tmp_path_factory.getbasetemp(), device="cpu", dtype="float32")
        assert isinstance(model, HFModel)
        return model

    return make
