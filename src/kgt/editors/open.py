"""A weight editor's name → the editor, with its family's hyper-parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kgt.editors.base import Editor
from kgt.editors.defer import Defer, DeferSettings
from kgt.editors.finetune import FineTune, FTSettings
from kgt.editors.grace import GRACE, GRACESettings
from kgt.editors.hyper import Hyper
from kgt.editors.hypernetwork import HyperEditor
from kgt.editors.ke import KENetwork, KESettings
from kgt.editors.kn import KN, KNSettings
from kgt.editors.mend import MENDNetwork, MENDSettings
from kgt.editors.moment import fingerprint, second_moment, texts_for
from kgt.editors.network import Network
from kgt.editors.rome import ROME, ROMESettings
from kgt.errors import BadInput, NotFound
from kgt.lm.hf import HFModel

FISHER_TEXTS = 64
"""Texts that FT+EWC's Fisher information is a mean over."""


def load_weight_editor(
    name: str, model: Any, *, cache: Path | None = None, hparams: Path | None = None, corpus: Path | None = None
) -> Editor:
    """The editor of that name on this model.

    Raises:
        BadInput: the model is not one of transformers', its architecture is unknown, or its weights are quantised.
        NotFound: a file that is not there: hyper-parameters, the corpus, a trained network.
    """
    network, hyper = opened(model, hparams)
    try:
        return _made(name, model, network, hyper, cache, corpus)
    except BaseException:
        network.close()
        raise


def _made(name: str, model: HFModel, network: Network, hyper: Hyper, cache: Path | None, corpus: Path | None) -> Editor:
    def texts() -> list[tuple[int, ...]]:
        return texts_for(model, corpus, cache and cache / "moments")

    if name in ("ft", "ft_l", "ft_ewc", "ft_retrain"):
        settings = hyper.of("ft_l" if name == "ft_l" else "ft", FTSettings)
        if name == "ft_ewc":
            settings = replace(settings, ewc=settings.ewc or 1e3)
        if name == "ft_retrain":
            settings = replace(settings, replay=settings.replay or 16)
        return FineTune(name, network, settings, texts()[:FISHER_TEXTS] if name == "ft_ewc" else None)
    if name == "rome":
        rome = hyper.of("rome", ROMESettings)

        def moment() -> Any:
            read = texts()
            return second_moment(network, rome.layer, read, cache and cache / "moments", fingerprint(model, read))

        return ROME(network, rome, moment)
    if name == "kn":
        return KN(network, hyper.of("kn", KNSettings))
    if name == "grace":
        return GRACE(network, hyper.of("grace", GRACESettings))
    if name == "defer":
        return Defer(network, hyper.of("defer", DeferSettings))
    if name in ("mend", "ke"):
        weights = network_file(name, model.name, cache)
        if not weights.exists():
            raise NotFound(
                f"There is no trained {name} network for {model.name}.",
                f"Run `kgt train-editor --method {name} --model {model.name} --data FOLDER`.",
            )
        return untrained(name, network, hyper, weights)[0]
    raise BadInput(f"There is no weight editor {name!r}.", "See `kgt bench --help`.")


def opened(model: Any, hparams: Path | None) -> tuple[Network, Hyper]:
    """A model's parts and its family's hyper-parameters."""
    if not isinstance(model, HFModel):
        raise BadInput(
            f"The weights of {model.name} cannot be edited: it is not loaded by transformers.",
            "Give a model folder or hub name, or hf: before a .gguf file (in Python load_model(…, editable=True));"
            " or use kgt, klamp or no_edit.",
        )
    config = model.module.config
    hyper = Hyper(model.name, config.model_type, config.num_hidden_layers, hparams)
    return Network(model, hyper.names), hyper


def network_file(name: str, model: str, cache: Path | None) -> Path:
    """Where a hyper-network trained for a model is kept."""
    safe = "".join(c if c.isalnum() or c in "-._" else "-" for c in model)
    return (cache or Path()) / "editors" / f"{safe}.{name}.pt"


def untrained(name: str, network: Network, hyper: Hyper, weights: Path | None = None) -> tuple[HyperEditor, Any]:
    """MEND or KE, with its settings; untrained unless a file of weights is given."""
    build: Callable[..., Any]
    settings: MENDSettings | KESettings
    if name == "mend":
        settings = hyper.of("mend", MENDSettings)
        build = partial(MENDNetwork, settings=settings)
    else:
        settings = hyper.of("ke", KESettings)
        build = partial(KENetwork, embedding=network.embedding(), settings=settings)
    return HyperEditor(name, network, settings.last_layers, build, weights), settings
