"""Shared beginnings change no score, whatever was asked before; and what they hold stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kgt.bench.work import counted
from kgt.lm import Request, load_model
from kgt.lm.hf import HFModel
from kgt.lm.packing import Text, pack
from kgt.lm.prefixes import BLOCK, MOST_TOKENS
from kgt.lm.tokens import alike

Tiny = Callable[[str], HFModel]
WORDS = st.sampled_from(["The mother tongue of ", "Victor Hugo ", "is ", "French ", "User: ", "a", "Complete it. "])
TEXTS = st.lists(WORDS, min_size=1, max_size=8).map("".join)
REQUESTS = st.lists(
    st.builds(Request, TEXTS, st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(tuple)), min_size=1, max_size=4
)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_scores_are_those_of_each_prompt_alone_and_anew(kind: str, tiny: Tiny) -> None:
    fast, slow = tiny(kind), tiny(kind)
    slow.shortcuts = False

    @given(st.lists(REQUESTS, min_size=1, max_size=3))
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    def check(asked: list[list[Request]]) -> None:
        for requests in asked:
            for request, scores in zip(requests, fast.logprobs(requests), strict=True):
                (alone,) = slow.logprobs([request])
                for a, b in zip(scores, alone, strict=True):
                    np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)

    check()


def test_what_begins_alike_is_read_once(tiny: Tiny) -> None:
    model = tiny("llama")
    beginning = "The mother tongue of Victor Hugo is French. User: "
    model.logprobs([Request(beginning + "Complete", (" it",))])
    with counted(model) as work:
        model.logprobs([Request(beginning + "What", (" is",))])
    known, prompt = model.encode(beginning + "Complete"), model.encode(beginning + "What")
    assert work.passes == 1
    assert alike(known, prompt) % BLOCK != 0  # the parting is inside a block
    assert work.scored == len(prompt) - alike(known, prompt)


def test_what_prompts_of_one_request_begin_alike_is_read_once(tiny: Tiny) -> None:
    model = tiny("llama")
    beginning = "The mother tongue of Victor Hugo is French. User: "
    prompts = [beginning + end for end in ("Complete", "Complete it", "What", "What")]
    with counted(model) as work:
        model.logprobs([Request(prompt, (" is",)) for prompt in prompts])
    one, longer, other = (model.encode(prompt) for prompt in prompts[:3])
    assert work.passes == 1
    assert work.scored == len(one) + len(longer) - alike(one, longer) + len(other) - alike(one, other)


def test_prompts_that_part_from_the_same_one_share_what_is_known_of_it(tiny: Tiny) -> None:
    model = tiny("llama")
    whole = "The mother tongue of Victor Hugo is French. User: Complete it. The mother tongue"
    model.logprobs([Request(whole, (" of",))])
    tokens = model.encode(whole)
    parting = [tokens[:end] + model.encode("French") * 2 for end in (9, 11, len(tokens) - 2)]
    texts = [Text(prompt, model.prefixes.find(prompt), ()) for prompt in parting]
    packed = pack(texts, torch.float32, model.device, model.cache_of)
    known = {len(text.known.tokens) for text in texts}
    assert len(known) == 3
    assert packed.mask.shape[-1] - packed.mask.shape[-2] == max(known)


def test_generation_goes_on_from_what_is_known(tiny: Tiny) -> None:
    fast, slow = tiny("llama"), tiny("llama")
    slow.shortcuts = False
    prompt = "The mother tongue of Danielle Darrieux is"
    first, again, plain = ("".join(m.generate(prompt, max_tokens=6)) for m in (fast, fast, slow))
    assert first == again == plain


def test_what_is_kept_is_bounded(tiny: Tiny) -> None:
    model = tiny("llama")
    for i in range(200):
        model.logprobs([Request(f"{i} {i + 1} {i + 2} The mother tongue of number {i} is", (" French",))])
    kept = model.prefixes._states
    assert 0 < sum(map(len, kept)) <= MOST_TOKENS
    assert all(len(begin) % BLOCK == 0 and whole in kept for begin, whole in model.prefixes._begins.items())


def test_a_model_with_a_window_shares_nothing_and_is_right(folder_of: Callable[[str], Path], tmp_path: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder_of("mistral"), sliding_window=8)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    for file in folder_of("mistral").glob("tokenizer*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    fast, slow = (load_model(str(tmp_path), tmp_path, device="cpu", dtype="float32") for _ in range(2))
    assert isinstance(fast, HFModel) and isinstance(slow, HFModel)
    slow.shortcuts = False
    for end in ("French", "Complete it", "French User:"):
        request = Request(f"The mother tongue of Victor Hugo is French. {end}", (" is", " Danielle Darrieux"))
        for a, b in zip(*(m.logprobs([request])[0] for m in (fast, slow)), strict=True):
            np.testing.assert_allclose(a.logprobs, b.logprobs, atol=1e-4)
    assert not fast.can_pack
