"""KGT and its rivals behind one interface: every way of making a model give a user's answers."""

from kgt.editors.base import Editor, EditReport, EditRequest, Question
from kgt.editors.catalog import EDITORS, Ablation, Parts, load_editor

__all__ = ["EDITORS", "Ablation", "EditReport", "EditRequest", "Editor", "Parts", "Question", "load_editor"]
