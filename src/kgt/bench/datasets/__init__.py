"""The data sets, each read into `Case`s; `load` finds the files and draws the sample."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

from kgt.bench.case import Case
from kgt.bench.datasets import counterfact, extension, files, pararel, peint, two_hop, zsre
from kgt.errors import BadInput

DATASETS = ("counterfact", "extension", "peint", "two_hop", "zsre")


class Loaded(NamedTuple):
    """Cases, and where they came from.

    Attributes:
        source: the files' names.
        sha256: of those files' bytes.
    """

    cases: list[Case]
    source: str
    sha256: str


def load(name: str, data: Path, n: int | None, seed: int) -> Loaded:
    """n cases drawn with the seed (all in their own order if n is None).

    CounterFact's questions on other relations of a subject come from ParaRel; so does the
    Extension, which is built anew where the folder has no `counterfact_extension.json`.

    Raises:
        BadInput: an unknown name, a damaged file, or more cases asked for than there are.
        NotFound: the files are neither in the folder nor to be fetched.
    """
    if name not in DATASETS:
        raise BadInput(f"There is no data set {name!r}.", f"Take one of: {', '.join(DATASETS)}.")
    if n is not None and n < 1:
        raise BadInput(f"--n is {n}.", "Take 1 or more, or leave it out for all.")
    if name == "counterfact":
        paths = counterfact.files(data, n)
        cases = counterfact.load(paths, pararel.load(data))
    elif name == "extension":
        found = files.find(data, ["counterfact_extension.json"])
        facts = pararel.load(data)
        paths = [found] if found else pararel.paths(data)
        cases = extension.load(found or extension.build(facts), facts)
    elif name == "zsre":
        paths = zsre.files(data)
        cases = zsre.load(paths)
    elif name == "two_hop":
        facts = pararel.load(data)
        paths = pararel.paths(data)
        cases = two_hop.build(facts, seed)
    else:
        paths = sorted(peint.folder().glob("*.json"))
        cases = peint.load()
    if n is not None and n > len(cases):
        raise BadInput(f"--n is {n}; {name} has {len(cases):,} cases.", "Take fewer, or leave --n out for all.")
    if n is not None and name == "two_hop":
        cases = cases[:n]  # shuffled already, either hop of a pair beside the other
    elif n is not None and n < len(cases):
        cases = random.Random(seed).sample(cases, n)
    names = [path.name for path in paths]
    source = ", ".join(names) if len(names) < 4 else f"{len(names)} files in {paths[0].parent.parent.name}"
    return Loaded(cases, source, files.sha256(paths))
