"""Small data sets in the real schemas."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

PATTERNS = {
    "P103": ["[X] is a native speaker of [Y].", "The mother tongue of [X] is [Y].", "[X] grew up speaking [Y] ."],
    "P19": ["[X] was born in [Y].", "[X] is originally from [Y]."],
    "P190": ["[X] and [Y] are twin cities."],
}


def record(case_id: int, subject: str, new: str, true: str) -> dict[str, Any]:
    """One record in CounterFact's original schema."""
    return {
        "case_id": case_id,
        "requested_rewrite": {
            "prompt": "The mother tongue of {} is",
            "relation_id": "P103",
            "target_new": {"str": new, "id": "Q1"},
            "target_true": {"str": true, "id": "Q2"},
            "subject": subject,
        },
        "paraphrase_prompts": [f"{subject} is a native speaker of", f"The sky was grey. {subject} grew up speaking"],
        "neighborhood_prompts": ["The mother tongue of Victor Hugo is"],
        "generation_prompts": [f"{subject} lives in"],
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with four CounterFact records and a little ParaRel."""
    folder = tmp_path / "data"
    records = [
        record(7, "Danielle Darrieux", "English", "French"),
        record(9, "Thomas Joannes Stieltjes", "Spanish", "Dutch"),
        record(11, "Léon Blum", "Russian", "French"),
        record(12, "Danielle Darrieux", "Italian", "French"),
    ]
    (folder / "counterfact").mkdir(parents=True)
    (folder / "counterfact" / "counterfact_350.json").write_text(json.dumps(records), encoding="utf-8")
    for name in ("patterns", "facts"):
        (folder / "pararel" / name).mkdir(parents=True)
    for relation, patterns in PATTERNS.items():
        lines = [json.dumps({"pattern": pattern}) for pattern in patterns]
        (folder / "pararel" / "patterns" / f"{relation}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    people = ["Danielle Darrieux", "Léon Blum", "Thomas Joannes Stieltjes", "Ada", "Bo", "Cy"]
    objects = {"P103": ["French", "English", "Dutch"], "P19": ["Paris", "London", "Zwolle"]}
    for relation, values in objects.items():
        lines = [json.dumps({"sub_label": p, "obj_label": values[i % 3]}) for i, p in enumerate(people)]
        (folder / "pararel" / "facts" / f"{relation}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (folder / "pararel" / "relation-labels.tsv").write_text("P103\tnative language\nP19\tplace of birth\n")
    return folder
