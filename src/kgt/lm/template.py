"""A model's chat template, rendered as transformers renders it, but without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from kgt.errors import ModelError
from kgt.lm.base import Message


class ChatTemplate:
    """The Jinja template of a model's chat format.

    Args:
        source: the template's text; "" is a model without one, whose turns are written as plain text.
        specials: what templates call bos_token, eos_token …

    Raises:
        ModelError: the template is not valid Jinja.
    """

    def __init__(self, source: str, specials: Mapping[str, str] | None = None) -> None:
        self.specials = dict(specials or {})
        self._template = _compiled(source) if source else None

    def prompt(self, messages: Sequence[Message], prefill: str = "") -> str:
        """The text after which the assistant goes on; its turn starts with `prefill`.

        Raises:
            ModelError: the template refuses the messages.
        """
        if self._template is None:
            return plain(messages, prefill)
        from jinja2 import TemplateError

        try:
            text = self._template.render(
                messages=list(messages), tools=None, documents=None, add_generation_prompt=True, **self.specials
            )
        except TemplateError as error:
            raise ModelError(
                f"The model's chat template refuses the conversation: {error}", "Choose another model."
            ) from error
        return str(text) + prefill


def plain(messages: Sequence[Message], prefill: str = "") -> str:
    """A conversation as text, for models without a chat format."""
    turns = [f"{m['role'].capitalize()}: {m['content']}\n" for m in messages]
    return "".join(turns) + "Assistant:" + (" " + prefill if prefill else "")


def _compiled(source: str) -> Any:
    """A template in the sandbox that transformers uses: it came with the model, so it is foreign code."""
    from jinja2 import TemplateError, nodes
    from jinja2.exceptions import SecurityError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from jinja2.utils import Namespace

    class Generation(Extension):
        """`{% generation %}` marks what the assistant says, for training; here it is only its body."""

        tags = {"generation"}  # noqa: RUF012  jinja2 declares it for instances

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))

    class SafeNamespace(Namespace):
        """Jinja's own, without names that reach into Python."""

        def __init__(*args: Any, **values: Any) -> None:
            for name in dict(*args[1:], **values):
                _check(name)
            Namespace.__init__(*args, **values)

        def __setitem__(self, name: str, value: Any) -> None:
            _check(name)
            super().__setitem__(name, value)

    def _check(name: object) -> None:
        if str(name).startswith("_"):
            raise SecurityError(f"a chat template may not set {name!r}")

    def refuse(message: str) -> NoReturn:
        raise TemplateError(message)

    def as_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, sort_keys: bool = False) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, sort_keys=sort_keys)

    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    sandbox.filters["tojson"] = as_json  # Jinja's own escapes for HTML
    sandbox.globals.update(
        raise_exception=refuse,
        strftime_now=lambda form: datetime.now().strftime(form),
        dict=lambda *args, **values: dict(*args, **values),
        namespace=SafeNamespace,
    )
    try:
        return sandbox.from_string(source)
    except TemplateError as error:
        raise ModelError(
            f"The model's chat template cannot be read: {error}", "Fetch the model again or choose another."
        ) from error
