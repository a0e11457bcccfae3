"""Algorithm 1: which triples of H to add and which old ones to remove.

Pure arithmetic on the evidence the model gave; no forward pass happens here, unless the stop rule
asks whether the model now generates the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kgt.method.conflict import contradicts
from kgt.method.objective import Evidence, loss
from kgt.triple import Triple

StopRule = Literal["loss", "generates", "either"]


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """How Algorithm 1 is run.

    Attributes:
        k: size of H.
        epsilon: the loss L (natural log) at which it is enough; 1.5 = P(a|q,z)·P(z|q) of 22 %.
        stop: Algorithm 1's rule L ≤ ε, the prose's "until the model generates the answer", or either.
        literal: the algorithm exactly as printed: the loss over all of H (infinite until all are
            in), any old triple removable, nothing taken back at the end.
    """

    k: int = 5
    epsilon: float = 1.5
    stop: StopRule = "loss"
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What Algorithm 1 decided, in the order decided."""

    added: tuple[Triple, ...]
    removed: tuple[Triple, ...]
    loss_before: float
    loss_after: float
    stop_reason: str


def tune(
    h: Sequence[Triple],
    graph: Sequence[Triple],
    evidence: Mapping[Triple, Evidence],
    *,
    none: float = 1.0,
    others: float = 0.0,
    settings: TuneSettings = TuneSettings(),
    stated: Collection[Triple] = (),
    removes: bool = True,
    rivals: Collection[Triple] | None = None,
    contradicts: Callable[[Triple, Triple], bool] = contradicts,
    generates: Callable[[Sequence[Triple]], bool] | None = None,
) -> Plan:
    """Run Algorithm 1 on G_q, the triples that start at e_q.

    H is added by P(a|q,z), highest first; old triples are removed lowest first; one addition, one
    removal, in turn, the stop rule checked after each. Beyond the paper (docs/decisions/0004):
    what the user stated goes in before what the model guessed; a fact that a new one contradicts
    goes in the same step; of the others only rivals may be removed, facts that the query would
    retrieve (relevance > none) and that make the answer less likely than the best of H; and if H
    runs out before the rule is met, steps that did not lower the loss are taken back, so that as
    little of the graph changes as possible.

    Args:
        evidence: for every triple of H and of the graph.
        stated: the triples of H that the user said in so many words.
        none: weight of "none" against the relevances; 0 for the paper's Eq. 5.
        others: the sum of the relevances of further triples at e_q, which stay there.
        rivals: the old facts that would shape the answer; any that the query asks for, if not given.
        removes: whether rivals may be removed; not where the user only adds ("also").
        contradicts: whether its first argument, when added, replaces the second.
        generates: whether the model with this graph at e_q generates the answer; needed by the
            stop rules "generates" and "either".
    """
    literal = settings.literal
    none = 0.0 if literal else none
    before = list(graph)

    def current_loss(g: Sequence[Triple]) -> float:
        return loss(h, g, evidence, none=none + others, literal=literal)

    def stop_reason(g: Sequence[Triple]) -> str:
        if settings.stop != "generates" and current_loss(g) <= settings.epsilon:
            return "loss"
        if settings.stop != "loss" and generates is not None and any(z in g for z in h) and generates(g):
            return "generates"
        return ""

    best = max(evidence[z].reasoning for z in h)

    def is_rival(old: Triple) -> bool:
        joins = any(old.key[:2] == z.key[:2] and not contradicts(z, old) for z in h)
        asked_for = evidence[old].relevance > none and (rivals is None or old in rivals)
        return not joins and asked_for and evidence[old].reasoning < best

    to_add = sorted(
        (z for z in h if z not in before), key=lambda z: (literal or z not in stated, -evidence[z].reasoning)
    )
    to_remove = sorted(
        (z for z in before if z not in h and (literal or (removes and is_rival(z)))),
        key=lambda z: evidence[z].reasoning,
    )
    now = list(before)
    steps: list[tuple[list[Triple], list[Triple]]] = []
    confirmed = [z for z in h if z in before]
    stale = [old for old in before if old not in h and any(contradicts(z, old) for z in confirmed)]
    if stale and not literal:
        steps.append(([], stale))
        now = _after(now, steps)
    reason = stop_reason(now)
    while not reason and (to_add or to_remove):
        for queue, adding in ((to_add, True), (to_remove, False)):
            if not queue or reason:
                continue
            z = queue.pop(0)
            if not adding and z not in now:
                continue
            stale = [old for old in now if old not in h and contradicts(z, old)] if adding and not literal else []
            step: tuple[list[Triple], list[Triple]] = ([z] if adding else [], stale if adding else [z])
            now = _after(now, [step])
            steps.append(step)
            reason = stop_reason(now)
    if not reason:
        reason = "exhausted"
        if not literal:
            steps = _fewest_steps(before, steps, current_loss)
            reason = stop_reason(_after(before, steps)) or reason
    now = _after(before, steps)
    held, holds = set(before), set(now)
    return Plan(
        added=tuple(z for z in now if z not in held),
        removed=tuple(z for z in before if z not in holds),
        loss_before=current_loss(before),
        loss_after=current_loss(now),
        stop_reason=reason,
    )


def _after(graph: Sequence[Triple], steps: Sequence[tuple[list[Triple], list[Triple]]]) -> list[Triple]:
    """The graph after steps of (added, removed)."""
    now = list(graph)
    for added, removed in steps:
        now = [z for z in now if z not in removed] + [z for z in added if z not in now]
    return now


def _fewest_steps(
    before: Sequence[Triple],
    steps: list[tuple[list[Triple], list[Triple]]],
    current_loss: Callable[[Sequence[Triple]], float],
) -> list[tuple[list[Triple], list[Triple]]]:
    """The first step, and of the others those that lower the loss.

    Steps are taken back, latest first, wherever the loss is no higher without them; starting from
    all of them and from the first alone, whichever ends lower.
    """
    kept = list(steps)
    best = current_loss(_after(before, kept))
    for step in reversed(steps[1:]):
        fewer = [s for s in kept if s is not step]
        without = current_loss(_after(before, fewer))
        if without <= best and not math.isinf(without):
            kept, best = fewer, without
    return steps[:1] if current_loss(_after(before, steps[:1])) <= best else kept
