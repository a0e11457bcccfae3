"""KGT and its rivals behind one interface: every way of making a model give a user's answers."""

from kgt.editors.base import Editor, EditReport, EditRequest, Question
from kgt.editors.catalog import EDITORS, WEIGHT_EDITORS, Ablation, Parts, load_editor
from kgt.editors.no_edit import NoEdit

__all__ = [
    "EDITORS",
    "WEIGHT_EDITORS",
    "Ablation",
    "EditReport",
    "EditRequest",
    "Editor",
    "NoEdit",
    "Parts",
    "Question",
    "load_editor",
]
