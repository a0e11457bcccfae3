"""Hyper-parameters as data: one file a model family in `hparams/`, overridden by a file of the user's."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from kgt.editors.network import Names
from kgt.errors import BadInput, NotFound

S = TypeVar("S")


class Hyper:
    """The tables of one family's file, with the user's own over them.

    Args:
        model: its name; a file with `models` that it starts with goes before its family's.
        model_type: transformers' name of the architecture.
        depth: its number of layers; layers published for another depth are scaled to it.
        own: a file of the same form, of which any part may be missing.

    Raises:
        NotFound: no such file.
        BadInput: it is damaged, or the architecture is unknown and the file gives no names.
    """

    def __init__(self, model: str, model_type: str, depth: int, own: Path | None = None) -> None:
        self.depth = depth
        given = _read(own) if own else {}
        self.tables = _merged(_family(model.rsplit("/", 1)[-1].lower(), model_type), given)
        if "names" not in self.tables:
            raise BadInput(
                f"The architecture {model_type!r} is not known to the weight editors.",
                "Say with --hparams FILE where its parts are, in TOML: [names] layers, norm, mlp_in, mlp_out"
                ' ("model.layers", "model.norm", ["mlp.up_proj"], "mlp.down_proj", say).',
            )

    @cached_property
    def names(self) -> Names:
        table = self.tables["names"]
        try:
            return Names(table["layers"], table["norm"], tuple(table["mlp_in"]), table["mlp_out"])
        except KeyError as error:
            raise BadInput(f"[names] lacks {error}.", "It needs layers, norm, mlp_in and mlp_out.") from error

    def of(self, method: str, kind: type[S]) -> S:
        """A method's settings.

        Raises:
            BadInput: a key that the method does not know, or a layer that the model does not have.
        """
        table = dict(self.tables.get(method, {}))
        known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
        strange = sorted(set(table) - known)
        if strange:
            raise BadInput(f"[{method}] has no {', '.join(strange)}.", f"It takes: {', '.join(sorted(known))}.")
        if "layer" in table:
            table["layer"] = self._layer(table["layer"])
        return kind(**table)

    def _layer(self, layer: int) -> int:
        published = self.tables.get("depth", self.depth)
        scaled = layer if published == self.depth else round(layer * (self.depth - 1) / (published - 1))
        if not 0 <= scaled < self.depth:
            raise BadInput(f"There is no layer {layer}.", f"The model's layers are 0 to {self.depth - 1}.")
        return scaled


def _family(model: str, model_type: str) -> dict[str, Any]:
    tables = [tomllib.loads(f.read_text("utf-8")) for f in _files()]
    family = next((t for t in tables if model_type in t.get("model_types", ())), {})
    special = next((t for t in tables if any(model.startswith(m) for m in t.get("models", ()))), {})
    return _merged(family, special)


def _files() -> list[Any]:
    return sorted(
        (f for f in (files("kgt.editors") / "hparams").iterdir() if f.name.endswith(".toml")), key=lambda f: f.name
    )


def _merged(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        merged[key] = {**merged[key], **value} if isinstance(value, dict) and key in merged else value
    if "depth" not in over and any(isinstance(v, dict) and "layer" in v for v in over.values()):
        raise BadInput("A file that names layers must say for how many.", "Add `depth = 32`, say, as its first line.")
    return merged


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise NotFound(f"There is no file {path}.", "Give the hyper-parameters' file with --hparams.")
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no TOML: {error}.", "See kgt/editors/hparams for files of this form.") from error
