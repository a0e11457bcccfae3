"""KGT, Knowledge Graph Tuning: personalise a language model by editing its user's knowledge graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kgt.assistant import Answer, Assistant, Explanation, Turn
    from kgt.errors import KGTError
    from kgt.graph import Edit, Fact, GraphStore
    from kgt.lm import load_model
    from kgt.method.tune import TuneSettings
    from kgt.settings import Settings
    from kgt.triple import Triple

_HOME = {
    "Answer": "kgt.assistant",
    "Assistant": "kgt.assistant",
    "Edit": "kgt.graph",
    "Explanation": "kgt.assistant",
    "Fact": "kgt.graph",
    "GraphStore": "kgt.graph",
    "KGTError": "kgt.errors",
    "Settings": "kgt.settings",
    "Triple": "kgt.triple",
    "TuneSettings": "kgt.method.tune",
    "Turn": "kgt.assistant",
    "load_model": "kgt.lm",
}

__all__ = [
    "Answer",
    "Assistant",
    "Edit",
    "Explanation",
    "Fact",
    "GraphStore",
    "KGTError",
    "Settings",
    "Triple",
    "TuneSettings",
    "Turn",
    "__version__",
    "load_model",
]


def __getattr__(name: str) -> Any:
    """Public names load on first use, so that `kgt --help` does not wait for SQLAlchemy or torch."""
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'kgt' has no attribute {name!r}")
