"""The user's knowledge graph: a shared base, each user's edits over it, and their whole history."""

from __future__ import annotations

from kgt.graph.edit import Edit, ScoredTriple
from kgt.graph.keys import Key
from kgt.graph.loading import Imported
from kgt.graph.overlay import Fact
from kgt.graph.store import GraphStore

__all__ = ["Edit", "Fact", "GraphStore", "Imported", "Key", "ScoredTriple"]
