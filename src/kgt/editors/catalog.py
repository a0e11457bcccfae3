"""An editor's name → the editor, with the settings that ablations change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kgt.editors.base import Editor
from kgt.editors.kgt import KGT, RelationSource
from kgt.editors.klamp import KLaMP
from kgt.editors.lookup import Lookup
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
        cache: folder for statistics and trained networks of the weight editors; None keeps nothing.
        hparams: a file of hyper-parameters over the family's own (`kgt.editors.hyper`).
        corpus: a text for the weight editors' statistics; None lets the model write one.
    """

    model: LanguageModel
    encoder: SentenceEncoder | None = None
    graph: Path | None = None
    ablation: Ablation = Ablation()
    cache: Path | None = None
    hparams: Path | None = None
    corpus: Path | None = None


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


WEIGHT_EDITORS = ("ft", "ft_l", "ft_ewc", "ft_retrain", "rome", "kn", "mend", "ke", "grace", "defer")
"""Those that need a transformers model, to change its weights or its layers' outputs."""


def _weights(name: str) -> Callable[[Parts], Editor]:
    def load(parts: Parts) -> Editor:
        from kgt.editors.open import load_weight_editor  # imports torch and transformers

        model = getattr(parts.model, "inner", parts.model)
        return load_weight_editor(name, model, cache=parts.cache, hparams=parts.hparams, corpus=parts.corpus)

    return load


EDITORS: dict[str, Callable[[Parts], Editor]] = {
    "kgt": _kgt,
    "klamp": lambda parts: KLaMP(parts.model),
    "no_edit": lambda parts: NoEdit(parts.model),
    "memory": lambda parts: Lookup(parts.model),
    **{name: _weights(name) for name in WEIGHT_EDITORS},
}


def load_editor(name: str, parts: Parts) -> Editor:
    """The editor of that name.

    Raises:
        BadInput: there is none.
    """
    if name not in EDITORS:
        raise BadInput(f"There is no method {name!r}.", f"Take one of: {', '.join(EDITORS)}.")
    return EDITORS[name](parts)
