"""The small things the panels are made of, as plain HTML elements."""

from __future__ import annotations

from typing import Any

from nicegui.elements.mixins.text_element import TextElement

from kgt.graph import Edit, ScoredTriple
from kgt.triple import Triple, as_words

LISTED = 8
"""Most triples of one edit that are spelt out."""


def el(tag: str, classes: str = "", text: str = "", **attributes: Any) -> TextElement:
    """An HTML element, its text escaped; `aria_label` is written for aria-label."""
    element = TextElement(tag=tag, text=text)
    element.props.update({name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()})
    return element.classes(classes)


def button(text: str, classes: str = "", icon: str = "", **attributes: Any) -> TextElement:
    """A button; with an icon its text is the label that is not seen, unless it has the class `both`."""
    if not icon:
        return el("button", f"button {classes}", text, type="button", **attributes)
    hidden = {} if "both" in classes else {"aria_label": text, "title": text}
    made = el(
        "button", f"button {'' if 'both' in classes else 'icon'} {classes}", type="button", **hidden, **attributes
    )
    with made:
        el("i", "material-icons", icon, aria_hidden="true")
        if not hidden:
            el("span", "", text)
    return made


def triple(z: Triple) -> None:
    """A fact in words: subject, relation, object."""
    with el("span", "triple"):
        el("span", "subject", z.subject)
        el("span", "relation", f" {spoken(z.relation)} ")  # the spaces are for who listens or copies
        el("span", "object", z.object)


def spoken(relation: str) -> str:
    """A relation's name as one says it: "CapableOf" is "capable of"."""
    words = as_words(relation)
    return words if words == relation else words.lower()


def changes(edit: Edit) -> None:
    """What an edit added and removed, with the probabilities it was decided by."""
    signed = [("added", "+", part) for part in edit.added] + [("removed", "−", part) for part in edit.removed]
    with el("ul", "changes"):
        for kind, sign, part in signed[:LISTED]:
            with el("li", kind):
                el("span", "sign", sign, aria_label=kind)
                triple(part.triple)
                _probabilities(part)
        if len(signed) > LISTED:
            el("li", "quiet", f"and {len(signed) - LISTED:,} more")


def probability(name: str, value: float) -> None:
    """One probability, as the paper writes it."""
    with el("span", "probability"):
        el("span", "", f"{name} ")
        el("b", "", f"{value:.2f}")


def _probabilities(part: ScoredTriple) -> None:
    if part.reasoning is None and part.retrieval is None:
        return
    with el("span", "probabilities"):
        if part.reasoning is not None:
            probability("P(a|q,z)", part.reasoning)
        if part.retrieval is not None:
            probability("P(z|q)", part.retrieval)
