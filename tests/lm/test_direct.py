"""A Llama run on torch alone: the same as transformers' in everything, and where it is not plain, left to it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgt.bench.spec import model_sha256
from kgt.errors import ModelError
from kgt.lm import DEFAULT_MODEL, Contrast, LanguageModel, Prompt, Request, load_model
from kgt.lm.bert import Bert
from kgt.lm.direct import DirectModel
from kgt.lm.encoder import bundled_encoder
from kgt.lm.hf import HFModel
from kgt.lm.states import LayerStates

TALK = [{"role": "system", "content": "Be brief. <|im_end|>"}, {"role": "user", "content": "What's  Zoë's diet?\n"}]
FACT = "Victor Hugo wrote in French. "


def both(folder: Path, cache: Path) -> tuple[DirectModel, HFModel]:
    direct, hf = (load_model(f"{prefix}{folder}", cache, device="cpu", dtype="float32") for prefix in ("", "hf:"))
    assert isinstance(direct, DirectModel)
    assert isinstance(hf, HFModel)
    return direct, hf


@pytest.fixture
def llama(folder_of: Callable[[str], Path], tmp_path: Path) -> Path:
    """A folder of a random Llama that a test may change."""
    return Path(shutil.copytree(folder_of("llama"), tmp_path / "llama"))


def change(folder: Path, **config: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))


def assert_the_same(a: LanguageModel, b: LanguageModel, atol: float) -> None:
    contrast = Contrast("Victor Hugo wrote in", 0.5, 0.1, 0.7)
    requests = [
        Request(f"{FACT}Victor Hugo wrote in", (" French", " French User:", " is")),
        Request("The mother tongue", (" of Victor Hugo is French",)),
        Request(f"{FACT}Victor Hugo wrote in", (" French", " so it is"), contrast),
    ]
    for mine, others in zip(a.logprobs(requests), b.logprobs(requests), strict=True):
        for x, y in zip(mine, others, strict=True):
            np.testing.assert_allclose(x.logprobs, y.logprobs, atol=atol)
            assert x.greedy == y.greedy


@pytest.mark.parametrize("tied", [True, False])
def test_scores_and_texts_are_those_of_transformers(tied: bool, tmp_path: Path, llama: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(llama, tie_word_embeddings=tied))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(llama)
    direct, hf = both(llama, tmp_path)
    assert_the_same(direct, hf, 1e-4)
    direct.shortcuts = hf.shortcuts = False
    assert_the_same(direct, hf, 1e-4)
    prompts = [Prompt(FACT), Prompt("The mother", Contrast("The", 0.5, 0.1, 0.7)), Prompt("a")]
    assert direct.generate_many(prompts, max_tokens=9) == hf.generate_many(prompts, max_tokens=9)
    assert list(direct.generate(FACT, max_tokens=12)) == list(hf.generate(FACT, max_tokens=12))


def test_the_bundled_model_is_run_so_and_answers_the_same(model: LanguageModel, cache: Path) -> None:
    hf = load_model(f"hf:{DEFAULT_MODEL}", cache)
    assert isinstance(model, DirectModel)
    assert isinstance(hf, HFModel)
    prompt = model.chat(TALK, " Zoë eats")
    assert prompt == hf.chat(TALK, " Zoë eats")
    assert (model.context, model.ends) == (hf.context, hf.ends)
    request = Request(prompt, (" fish", " vegetables and rice."))
    for mine, other in zip(model.logprobs([request])[0], hf.logprobs([request])[0], strict=True):
        np.testing.assert_allclose(mine.logprobs, other.logprobs, atol=0.3)  # bfloat16, multiplied by other kernels
    assert model_sha256(model) == model_sha256(hf)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
def test_any_text_has_the_same_tokens(text: str, direct: DirectModel, exact: HFModel) -> None:
    assert direct.encode(text) == exact.encode(text)
    assert direct.decode(direct.encode(text)) == exact.decode(exact.encode(text))
    turn = [{"role": "user", "content": text}]
    assert direct.chat(turn) == exact.chat(turn)


@pytest.mark.parametrize(
    "config",
    [
        {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
        {"rope_parameters": None, "rope_theta": 10000.0, "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"attention_bias": True},
        {"hidden_act": "gelu"},
    ],
)
def test_what_is_no_plain_llama_is_left_to_transformers(config: dict[str, object], llama: Path, tmp_path: Path) -> None:
    change(llama, **config)
    assert isinstance(load_model(str(llama), tmp_path, device="cpu"), HFModel)


def test_a_head_of_its_own_counts_though_the_config_ties_it(llama: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = llama / "model.safetensors"
    tensors = load_file(path)
    torch.manual_seed(2)
    save_file(tensors | {"lm_head.weight": torch.randn_like(tensors["model.embed_tokens.weight"]) / 10}, path)
    change(llama, tie_word_embeddings=True)
    assert_the_same(*both(llama, tmp_path), 1e-4)


@pytest.mark.parametrize("added", [{}, {"added_tokens_decoder": {}}])
def test_special_tokens_of_older_folders_end_texts_as_in_transformers(
    added: dict[str, object], llama: Path, tmp_path: Path
) -> None:
    from tokenizers import AddedToken, Tokenizer

    tokenizer = Tokenizer.from_file(str(llama / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken("</s>", special=True), AddedToken("<|im_end|>", special=True)])
    tokenizer.save(str(llama / "tokenizer.json"))
    (llama / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"} | added))
    (llama / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    direct, hf = both(llama, tmp_path)
    assert direct.ends == hf.ends


def test_a_special_token_that_the_tokenizer_lacks_is_left_to_transformers(llama: Path, tmp_path: Path) -> None:
    path = llama / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "<new>"}))
    assert isinstance(load_model(str(llama), tmp_path, device="cpu"), HFModel)


def test_what_was_read_is_kept_apart_from_what_it_was_part_of() -> None:
    whole = torch.randn(1, 9, 5, 8)
    state = LayerStates()
    state.grow(whole[:, 3:6], whole[:, 6:])
    assert state.keys is not None
    assert state.keys.untyped_storage().nbytes() == state.keys.numel() * state.keys.element_size()


def test_a_chat_template_sees_the_special_tokens_that_it_sees_in_transformers(llama: Path, tmp_path: Path) -> None:
    path = llama / "tokenizer_config.json"
    told = {
        "bos_token": "<|endoftext|>",
        "add_bos_token": True,
        "chat_template": "{{ bos_token }}{{ add_bos_token }}{% if tools is not none %}tools{% endif %}!",
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | told))
    direct, hf = both(llama, tmp_path)
    assert direct.chat(TALK) == hf.chat(TALK) == "<|endoftext|>!"


def test_several_chat_templates_are_left_to_transformers(llama: Path, tmp_path: Path) -> None:
    path = llama / "tokenizer_config.json"
    named = [{"name": name, "template": f"{name}!"} for name in ("default", "tool_use")]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": named}))
    assert isinstance(load_model(str(llama), tmp_path, device="cpu"), HFModel)


def test_other_architectures_and_types_and_editors_get_transformers(
    folder_of: Callable[[str], Path], llama: Path, tmp_path: Path
) -> None:
    assert isinstance(load_model(str(folder_of("qwen2")), tmp_path, device="cpu"), HFModel)
    assert isinstance(load_model(str(llama), tmp_path, device="cpu", dtype="float16"), HFModel)
    assert isinstance(load_model(str(llama), tmp_path, device="cpu", editable=True), HFModel)


def test_a_damaged_file_is_told_by_transformers(llama: Path, tmp_path: Path) -> None:
    weights = llama / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="could not be loaded"):
        load_model(str(llama), tmp_path, device="cpu")


def test_the_encoder_is_the_bert_of_transformers() -> None:
    from transformers import BertModel

    encoder = bundled_encoder()
    assert encoder is not None
    ids, seen, sides = encoder.batch([("What does Pico eat?", "no, fish"), ("", "Zürich " * 200)], 96)
    assert ids.shape == (2, 96)
    theirs = BertModel.from_pretrained(encoder._folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        wanted = theirs(ids, attention_mask=seen, token_type_ids=sides).last_hidden_state
        found = Bert.load(encoder._folder, torch.float32)(ids, seen, sides)
    torch.testing.assert_close(found[seen == 1], wanted[seen == 1], atol=1e-5, rtol=1e-4)
