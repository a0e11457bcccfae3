"""CounterFact (Meng et al. 2022), in the original schema and in EasyEdit's reduced one.

The reduced files hold all 21,919 records with one probe of a kind each; their `rephrase_prompt` is
more often than not one of the record's generation prompts, so it asks for something the fact
implies rather than the same in other words, and is not used as a paraphrase.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kgt.bench.case import Case, Probe
from kgt.bench.datasets.files import Source, fetch, field, filled, find, read_list
from kgt.bench.datasets.pararel import Pararel
from kgt.editors import EditRequest
from kgt.errors import BadInput

USER = "counterfact"
WHOLE = Source(
    "counterfact.json",
    "https://rome.baulab.info/data/dsets/counterfact.json",
    "d017056125178a13728594e66a801357a8db9ed7973a7425554bb4271de9fc6f",
)
SAMPLE = "counterfact_350.json"
REDUCED = ("counterfact-train.json", "counterfact-edit.json", "counterfact-val.json")
SAME_SUBJECT = 2
"""Questions a case about other relations of its subject."""


def files(data: Path, n: int | None) -> list[Path]:
    """The files that n records come from: the whole original, else the sample of it, else the reduced ones."""
    whole = find(data, [WHOLE.name])
    if whole:
        return [whole]
    sample = find(data, [SAMPLE])
    if sample and n is not None and n <= len(read_list(sample)):
        return [sample]
    reduced = [path for name in REDUCED if (path := find(data, [name]))]
    if len(reduced) == len(REDUCED):
        return reduced
    return [fetch([WHOLE], data / "counterfact") / WHOLE.name]


def load(paths: list[Path], pararel: Pararel | None) -> list[Case]:
    """All cases of the files.

    Args:
        pararel: where questions on other relations of the subjects come from; none without it.

    Raises:
        BadInput: a record is malformed; the file, the record and the field are named.
    """
    cases: list[Case] = []
    for path in paths:
        for i, record in enumerate(read_list(path)):
            where = f"{path}, record {i}"
            read = _original if "requested_rewrite" in record else _reduced
            cases.append(read(record, where, pararel))
    if len({case.case_id for case in cases}) < len(cases):
        raise BadInput(f"{paths[0].parent}: a case_id occurs twice.", "Give each record its own.")
    return sorted(cases, key=lambda case: int(case.case_id))


def _original(record: dict[str, Any], where: str, pararel: Pararel | None) -> Case:
    rewrite = "requested_rewrite"
    subject = field(record, f"{rewrite}.subject", str, where)
    new = field(record, f"{rewrite}.target_new.str", str, where)
    true = field(record, f"{rewrite}.target_true.str", str, where)
    relation = field(record, f"{rewrite}.relation_id", str, where)
    query = filled(field(record, f"{rewrite}.prompt", str, where), subject, where)
    case_id = str(field(record, "case_id", int, where))
    return Case(
        case_id,
        EditRequest(USER, query, new, subject, new, true, pararel.labels.get(relation, "") if pararel else ""),
        Probe(query, new, true, subject),
        paraphrases=tuple(Probe(p, new, true, subject) for p in field(record, "paraphrase_prompts", list, where)),
        neighbourhood=tuple(Probe(p, new, true) for p in field(record, "neighborhood_prompts", list, where)),
        same_subject=_same_subject(case_id, subject, relation, new, pararel),
        generation_prompts=tuple(record.get("generation_prompts", ())),
        relation_id=relation,
        target_id=record[rewrite]["target_new"].get("id", ""),
    )


def _reduced(record: dict[str, Any], where: str, pararel: Pararel | None) -> Case:
    subject, new, true, prompt = (
        field(record, name, str, where) for name in ("subject", "target_new", "ground_truth", "prompt")
    )
    query = filled(prompt, subject, where)
    case_id = str(field(record, "case_id", int, where))
    found = pararel.relations_of.get((subject, true), []) if pararel else []
    relation = found[0] if len(found) == 1 else ""
    return Case(
        case_id,
        EditRequest(USER, query, new, subject, new, true, pararel.labels.get(relation, "") if pararel else ""),
        Probe(query, new, true, subject),
        neighbourhood=(Probe(field(record, "locality_prompt", str, where), new, true),),
        same_subject=_same_subject(case_id, subject, relation, new, pararel),
        relation_id=relation,
    )


def _same_subject(case_id: str, subject: str, relation: str, new: str, pararel: Pararel | None) -> tuple[Probe, ...]:
    if not pararel or not relation:
        return ()
    asked = pararel.other_questions(subject, relation, SAME_SUBJECT, case_id)
    return tuple(Probe(query, new, subject=subject) for query in asked)
