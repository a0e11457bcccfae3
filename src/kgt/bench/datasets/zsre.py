"""zsRE for editing (Levy et al. 2017; Mitchell et al. 2022), in MEND's and ROME's schema."""

from __future__ import annotations

from pathlib import Path

from kgt.bench.case import Case, Probe
from kgt.bench.datasets.files import Source, fetch, field, filled, find, read_list
from kgt.editors import EditRequest

USER = "zsre"
SOURCE = Source(
    "zsre_mend_train-1k.json",
    "https://raw.githubusercontent.com/Jometeorie/KnowledgeSpread/51d7402617c2e52bde0dc11b76e400c3725a181a"
    "/data/zsre/zsre_mend_train-1k.json",
    "e62596101d8ed551889c26c0d2a5277f92eaef3b14416d8eaee39b04a244ab60",
)


def files(data: Path) -> list[Path]:
    """ROME's evaluation file if it is there, else the sample of MEND's training file."""
    found = find(data, ["zsre_mend_eval.json", SOURCE.name])
    return [found or fetch([SOURCE], data / "zsre") / SOURCE.name]


def load(paths: list[Path]) -> list[Case]:
    """All cases of the files.

    Raises:
        BadInput: a record is malformed; the file, the record and the field are named.
    """
    cases = []
    for path in paths:
        for i, record in enumerate(read_list(path)):
            where = f"{path}, record {i}"
            if record.get("alt") == "":  # so in MEND's file: nothing to teach
                continue
            subject, query, new, rephrase, unrelated, truth = (
                field(record, name, str, where) for name in ("subject", "src", "alt", "rephrase", "loc", "loc_ans")
            )
            true = field(record, "answers", list, where)[0]
            query = filled(query, subject, where)
            other = unrelated.removeprefix("nq question: ").rstrip(" ?") + "?"
            cases.append(
                Case(
                    str(i),
                    EditRequest(USER, query, new, subject, new, true),
                    Probe(query, new, true, subject),
                    paraphrases=(Probe(rephrase, new, true, subject),),
                    neighbourhood=(Probe(other, new, truth),),
                )
            )
    return cases
