"""CounterFactExtension: counterfactual edits on ParaRel's facts, after the KGT paper's Appendix B.

The paper's file is not public. This builder makes one of its size and schema: each ParaRel fact
with a wrong object of the same relation, one of the relation's wordings as the prompt and another
as the paraphrase. As the facts are fewer than the records, some get a second record with another
pair of wordings and the same wrong object.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

from kgt.bench.case import Case, Probe
from kgt.bench.datasets.files import field, filled, read_list
from kgt.bench.datasets.pararel import Fact, Pararel
from kgt.editors import EditRequest

USER = "extension"
RECORDS = 27_737
"""As many as in the paper."""
SAME_SUBJECT = 2


def build(pararel: Pararel, seed: int = 0, size: int = RECORDS) -> list[dict[str, Any]]:
    """The records, in random order; the same for the same seed."""
    draw = random.Random(seed)
    usable = sorted(r for r, openings in pararel.openings.items() if len(openings) >= 2 and r in pararel.facts)
    objects = {r: sorted({fact.object for fact in pararel.facts[r]}) for r in usable}
    facts = [(relation, fact) for relation in usable for fact in pararel.facts[relation]]
    again = [(r, fact) for r, fact in facts if len(pararel.openings[r]) >= 4]
    draw.shuffle(again)
    of_subject: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for relation, fact in facts:
        of_subject[relation, fact.subject].append(fact)
    targets: dict[tuple[str, str], str] = {}
    unused: dict[tuple[str, str], list[str]] = defaultdict(list)
    records = []
    for relation, fact in (facts + again)[:size]:
        key = (relation, fact.subject)
        if key not in targets:  # one wrong object a subject and relation, or records would contradict one another
            right = {f.object for f in of_subject[key]}
            targets[key] = draw.choice([o for o in objects[relation] if o not in right and o != fact.subject])
        if len(unused[key]) < 2:
            openings = pararel.openings[relation]
            unused[key] = draw.sample(openings, len(openings))
        prompt, paraphrase = unused[key].pop(), unused[key].pop()
        records.append(
            {
                "requested_rewrite": {
                    "prompt": prompt.replace("[X]", "{}"),
                    "relation_id": relation,
                    "target_new": targets[key],
                    "target_true": fact.object,
                    "subject": fact.subject,
                },
                "generation_prompts": [paraphrase.replace("[X]", fact.subject)],
            }
        )
    draw.shuffle(records)
    return [{"case_id": i, **record} for i, record in enumerate(records)]


def write(records: list[dict[str, Any]], path: Path) -> None:
    """One JSON list, a record a line."""
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def load(source: Path | list[dict[str, Any]], pararel: Pararel | None) -> list[Case]:
    """Cases of a file, or of records just built.

    Raises:
        BadInput: a record is malformed; the record and the field are named.
    """
    records = read_list(source) if isinstance(source, Path) else source
    cases = []
    for i, record in enumerate(records):
        where = f"{source}, record {i}" if isinstance(source, Path) else f"record {i}"
        subject, new, true, relation = (
            field(record, f"requested_rewrite.{name}", str, where)
            for name in ("subject", "target_new", "target_true", "relation_id")
        )
        query = filled(field(record, "requested_rewrite.prompt", str, where), subject, where)
        case_id = str(field(record, "case_id", int, where))
        others = pararel.other_questions(subject, relation, SAME_SUBJECT, case_id) if pararel else []
        label = pararel.labels.get(relation, "") if pararel else ""
        cases.append(
            Case(
                case_id,
                EditRequest(USER, query, new, subject, new, true, label),
                Probe(query, new, true, subject),
                paraphrases=tuple(
                    Probe(p, new, true, subject) for p in field(record, "generation_prompts", list, where)
                ),
                same_subject=tuple(Probe(q, new, subject=subject) for q in others),
                relation_id=relation,
            )
        )
    return cases
