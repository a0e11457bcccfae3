"""Every setting in one typed object: defaults, then the file, then KGT_* variables, then arguments."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from kgt.errors import BadInput
from kgt.lm.catalog import DEFAULT_MODEL


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and who is speaking.

    Attributes:
        user: whose graph is read and edited.
        db: a file path or a SQLAlchemy URL.
        model: a name from `kgt models`, a folder, a .gguf file, a hub name or a server's address.
        device, dtype: "auto" or what torch calls them.
        tokenizer: where the chat template of a server's model is, if the server does not tell it.
        api_key: for a server; shown nowhere.
        cache: folder for converted model weights.
        max_tokens: longest answer.
    """

    user: str = "me"
    db: str = str(Path(platformdirs.user_data_dir("kgt")) / "graph.db")
    model: str = DEFAULT_MODEL
    device: str = "auto"
    dtype: str = "auto"
    cache: str = platformdirs.user_cache_dir("kgt")
    max_tokens: int = 48
    tokenizer: str = ""
    api_key: str = field(default="", repr=False)

    @property
    def loading(self) -> dict[str, Any]:
        """How `kgt.lm.load_model` loads the model, beside its name and the cache."""
        return {"device": self.device, "dtype": self.dtype, "tokenizer": self.tokenizer, "api_key": self.api_key}

    @classmethod
    def load(cls, **arguments: Any) -> Settings:
        """Settings from `config.toml` (or the file KGT_CONFIG names), the environment and the arguments given.

        Raises:
            BadInput: the file is no TOML, names an unknown setting, or a value has the wrong type.
        """
        kinds = {f.name: f.type for f in fields(cls)}
        path = Path(os.environ.get("KGT_CONFIG", Path(platformdirs.user_config_dir("kgt")) / "config.toml"))
        values: dict[str, Any] = {}
        if path.is_file():
            try:
                values = tomllib.loads(path.read_text("utf-8"))
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
                raise BadInput(f"The settings file {path} is not valid TOML: {error}.", "Mend or remove it.") from error
        unknown = set(values) - set(kinds)
        if unknown:
            raise BadInput(f"{path} has an unknown setting {sorted(unknown)[0]!r}.", f"Known: {', '.join(kinds)}.")
        values |= {n: os.environ[f"KGT_{n.upper()}"] for n in kinds if f"KGT_{n.upper()}" in os.environ}
        values |= {n: v for n, v in arguments.items() if v is not None}
        try:
            typed: dict[str, Any] = {n: int(v) if kinds[n] == "int" else str(v) for n, v in values.items()}
            return replace(cls(), **typed)
        except ValueError as error:
            raise BadInput(f"A setting that must be a whole number is not: {error}.", "Mend it.") from error
