"""An editor's name → the editor, with the settings that ablations change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kgt.editors.base import Editor
from kgt.editors.kgt import KGT, RelationSource
from kgt.editors.klamp import KLaMP
from kgt.editors.no_edit import NoEdit
from kgt.errors import BadInput
from kgt.lm import LanguageModel
from kgt.lm.encoder import SentenceEncoder
from kgt.method.templates import PAPER, Templates, templates_for
from kgt.method.tune import StopRule, TuneSettings


@dataclass(frozen=True, slots=True)
class Ablation:
    """What of KGT is changed in a run; the defaults are what is shipped.

    Attributes:
        templates: "shipped", or "paper": its instructions as printed, outside the chat format.
        alpha: context-aware decoding's α; None is the templates' own.
        labelled: whether entities are given, as in the paper.
    """

    k: int = 5
    epsilon: float = 1.5
    stop: StopRule = "loss"
    literal: bool = False
    relations: RelationSource = "words"
    scope: bool = True
    templates: Literal["shipped", "paper"] = "shipped"
    alpha: float | None = None
    labelled: bool = True


@dataclass(frozen=True, slots=True)
class Parts:
    """What editors are made of.

    Attributes:
        graph: file of the graph that KGT edits; in memory if None.
    """

    model: LanguageModel
    encoder: SentenceEncoder | None = None
    graph: Path | None = None
    ablation: Ablation = Ablation()


def _kgt(parts: Parts) -> Editor:
    a = parts.ablation
    templates: Templates = PAPER if a.templates == "paper" else templates_for(parts.model)
    return KGT(
        parts.model,
        parts.encoder,
        graph=parts.graph,
        tuning=TuneSettings(a.k, a.epsilon, a.stop, a.literal),
        templates=templates if a.alpha is None else replace(templates, alpha=a.alpha),
        scope=a.scope,
        relations=a.relations,
        labelled=a.labelled,
    )


EDITORS: dict[str, Callable[[Parts], Editor]] = {
    "kgt": _kgt,
    "klamp": lambda parts: KLaMP(parts.model),
    "no_edit": lambda parts: NoEdit(parts.model),
}


def load_editor(name: str, parts: Parts) -> Editor:
    """The editor of that name.

    Raises:
        BadInput: there is none.
    """
    if name not in EDITORS:
        raise BadInput(f"There is no method {name!r}.", f"Take one of: {', '.join(EDITORS)}.")
    return EDITORS[name](parts)
