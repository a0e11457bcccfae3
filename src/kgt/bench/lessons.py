"""What hyper-network editors are trained on: records of CounterFact's training split, or of zsRE."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from kgt.bench.case import Case, Probe
from kgt.bench.datasets import counterfact, zsre
from kgt.bench.datasets.files import find
from kgt.editors import Question
from kgt.editors.base import PlainEditor
from kgt.editors.hypernetwork import Lesson, Row
from kgt.editors.network import Network
from kgt.errors import BadInput, NotFound
from kgt.method.reasoning import answers_request

CORPORA = ("counterfact", "zsre")


def cases(name: str, data: Path, n: int, seed: int) -> list[Case]:
    """n training records; none is one of the 350 that CounterFact runs of that size draw from.

    Raises:
        BadInput: an unknown name.
        NotFound: the files are not there.
    """
    if name not in CORPORA:
        raise BadInput(f"There is no training data {name!r}.", f"Take one of: {', '.join(CORPORA)}.")
    if name == "zsre":
        found = zsre.load(zsre.files(data))
    else:
        split = find(data, ["counterfact-train.json"])
        if split is None:
            raise NotFound(f"There is no counterfact-train.json in {data}.", "Name the data sets' folder with --data.")
        kept_out = {case.case_id for case in counterfact.load(counterfact.files(data, 1), None)}
        found = [case for case in counterfact.load([split], None) if case.case_id not in kept_out]
    found = [case for case in found if case.neighbourhood]
    return random.Random(seed).sample(found, min(n, len(found)))


def lessons(network: Network, editor: PlainEditor, records: Sequence[Case], seed: int) -> list[Lesson]:
    """Records as tokens, asked as the benchmark asks.

    A record without paraphrases is asked again after an unrelated sentence, as CounterFact's own paraphrases are.
    """
    draw = random.Random(seed)
    made = []
    for case in records:
        other = draw.choice(records)
        sentence = f"{other.rewrite.query} {other.rewrite.true}. "
        again = case.paraphrases[0] if case.paraphrases else Probe(sentence + case.rewrite.query, case.rewrite.new)
        beside = draw.choice(case.neighbourhood)
        made.append(
            Lesson(
                _row(network, editor, case.rewrite, case.rewrite.new),
                _row(network, editor, again, case.rewrite.new),
                _row(network, editor, beside, beside.true),
            )
        )
    return made


def _row(network: Network, editor: PlainEditor, probe: Probe, answer: str) -> Row:
    start = editor.prompt(Question("", probe.query, probe.subject, probe.stem))
    asked = answers_request(start, [answer])
    return network.model.split(asked.prompt, asked.continuations[0])
