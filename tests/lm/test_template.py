"""Chat templates: what transformers renders, in a sandbox."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast
from transformers.utils.chat_template_utils import render_jinja_template

from kgt.errors import ModelError
from kgt.lm.base import Message
from kgt.lm.hf import HFModel
from kgt.lm.template import ChatTemplate

TALK: list[Message] = [
    {"role": "user", "content": "Hi, <b>Ana</b>.\n\nAll well? 🐶"},
    {"role": "assistant", "content": "Yes."},
    {"role": "user", "content": "Good"},
]
TRICKY = """\
{{- bos_token }}{% set ns = namespace(n=0) %}
{% for m in messages %}
    {% if m.role == 'user' %}{% set ns.n = ns.n + 1 %}{% endif %}
    {% if loop.index == 9 %}{% break %}{% endif %}
[{{ ns.n }} {{ m.content | tojson }}]
    {% generation %}{{ m.role | upper }}{% endgeneration %}
{% endfor %}
{% if add_generation_prompt %}ASSISTANT{{ eos_token }}{% endif %}"""


def test_a_template_with_all_the_extensions_renders_as_in_transformers() -> None:
    specials = {"bos_token": "<s>", "eos_token": "</s>"}
    expected = render_jinja_template([TALK], chat_template=TRICKY, add_generation_prompt=True, **specials)[0][0]
    assert ChatTemplate(TRICKY, specials).prompt(TALK, prefill=" So") == expected + " So"


def test_the_bundled_models_template_renders_as_in_transformers(exact: HFModel) -> None:
    tokenizer: PreTrainedTokenizerFast = exact.tokenizer
    specials = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
    assert ChatTemplate(str(tokenizer.chat_template), specials).prompt(TALK) == exact.chat(TALK)


def test_without_a_template_turns_are_plain_text() -> None:
    assert ChatTemplate("").prompt(TALK[2:], prefill="So") == "User: Good\nAssistant: So"


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no system messages') }}",
        "{% set ns = namespace(__class__=1) %}",
        "{{ messages.__class__.__mro__ }}",
        "{% if %}",
    ],
)
def test_what_a_template_may_not_do_is_refused(source: str) -> None:
    with pytest.raises(ModelError, match="chat template") as caught:
        ChatTemplate(source).prompt(TALK)
    assert caught.value.hint
