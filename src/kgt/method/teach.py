"""From a pair to an edit: score H and G_q with the model, run Algorithm 1, write down what it decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from kgt.graph import Edit, Fact, ScoredTriple
from kgt.lm.base import LanguageModel
from kgt.lm.encoder import SentenceEncoder
from kgt.method.conflict import contradicts
from kgt.method.objective import Evidence, retrieval_probabilities
from kgt.method.pair import Pair
from kgt.method.reasoning import answer_scores, reasoning_probabilities
from kgt.method.retrieval import relevances, retrieval, taught_queries
from kgt.method.templates import Templates
from kgt.method.tune import Plan, TuneSettings, tune
from kgt.triple import Triple, entity_key
from kgt.wording import is_unfinished

REFUTED = 0.05
"""A shared fact that the corrected answer was drawn from goes if the right answer is less likely given it."""


def decide_edit(
    pair: Pair,
    stated: Sequence[Triple],
    facts: Sequence[Fact],
    model: LanguageModel,
    encoder: SentenceEncoder | None,
    templates: Templates,
    settings: TuneSettings,
    *,
    user: str,
    scope: bool = True,
    guess: Callable[[], Sequence[Triple]] | None = None,
    tried: Sequence[Triple] | None = None,
    reasoned: dict[Triple, float] | None = None,
) -> Edit:
    """The edit of G_q that makes the pair's query get the pair's answer; nothing is stored.

    What the user stated goes in before what the model guesses, so where it is enough by the stop
    rule, nothing is guessed (docs/decisions/0004).

    While deciding, new triples are judged without the query that teaches them, as a rephrasing
    will see them (docs/decisions/0006).

    Args:
        stated: the triples of H(q, a, K) that the user said, or the whole of H.
        guess: gives all of H(q, a, K), for when the stated ones are not enough.
        facts: what the user sees of e_q, G_q.
        tried: this H, for a call without `guess`; if not given, what was stated.
        reasoned: P(a|q,z) as far as it is known; what is found is added.

    Returns:
        The edit; without changes and with stop reason "known" where the graph says so already.
    """
    answer = {} if reasoned is None else reasoned
    if guess:

        def decided(h: Sequence[Triple]) -> Edit:
            return decide_edit(
                pair, stated, facts, model, encoder, templates, settings,
                user=user, scope=scope, tried=h, reasoned=answer,
            )  # fmt: skip

        if settings.literal:
            return decided(guess())
        edit = decided(stated)
        if edit.stop_reason != "exhausted":
            return edit
        whole = guess()
        return edit if set(whole) <= set(stated) else min(edit, decided(whole), key=lambda e: e.loss_after or 0.0)
    h = stated if tried is None else tried
    known = [f.triple for f in facts]
    replaced = [] if pair.adds else _answered_otherwise(facts, pair)
    stale = [old for old in known if not pair.adds and any(contradicts(z, old, replaces=pair.replaces) for z in h)]
    edit = Edit(user=user, kind="teach", query=pair.query, answer=pair.answer, stop_reason="known")
    place = {z: i for i, z in enumerate(dict.fromkeys([*known, *h]))}
    if any(place[z] < len(known) for z in h) and not replaced and not stale:
        return edit
    graph = list(place)
    relevance = relevances(
        pair.query,
        pair.subject,
        graph,
        model,
        encoder,
        templates,
        taught_by=taught_queries(facts),
        scope=scope,
    )
    none = 1.0 if scope else 0.0
    rivals = [c.triple for c in retrieval(known, relevance[: len(known)], none).used]
    judged = list(dict.fromkeys([*h, *replaced, *stale, *(known if settings.literal else rivals)]))
    judged_known = sorted((z for z in judged if place[z] < len(known)), key=place.__getitem__)
    settled = np.ones(len(graph), bool)
    settled[[place[z] for z in judged]] = False
    others = float(relevance[settled].sum())
    stem = "" if is_unfinished(pair.query) else pair.stem
    new = [z for z in judged if z not in answer]
    given = reasoning_probabilities(model, templates, pair.query, pair.subject, pair.object, new, stem=stem)
    answer.update(zip(new, given, strict=True))
    evidence = {z: Evidence(answer[z], float(relevance[place[z]])) for z in judged}

    def generates(now: Sequence[Triple]) -> bool:
        seen = [i for i, z in enumerate(graph) if settled[i] or z in now]
        found = retrieval([graph[i] for i in seen], relevance[seen], none)
        (score,) = answer_scores(
            model,
            templates,
            pair.query,
            pair.subject,
            [c.triple for c in found.weighed],
            [pair.object],
            weight=found.weight,
            stem=stem,
        )
        return score.greedy

    shared = {f.triple for f in facts if f.source != "user"}
    refuted = [z for z in rivals if z in shared and not pair.adds and answer.get(z, 1.0) < REFUTED]
    plan = tune(
        h,
        judged_known,
        evidence,
        none=none,
        others=others,
        settings=settings,
        stated=stated,
        removes=not pair.adds,
        rivals=rivals,
        contradicts=lambda new, old: (
            old in replaced or old in refuted or (not pair.adds and contradicts(new, old, replaces=pair.replaces))
        ),
        generates=generates,
    )
    return _written(edit, plan, judged_known, evidence, none + others, model.name)


def _answered_otherwise(facts: Sequence[Fact], pair: Pair) -> list[Triple]:
    """The facts that are earlier, different answers to this very query."""
    query, answer = pair.query.casefold(), entity_key(pair.object)
    return [f.triple for f in facts if f.query.casefold() == query and f.triple.key[2] != answer]


def _written(
    edit: Edit, plan: Plan, known: Sequence[Triple], evidence: Mapping[Triple, Evidence], none: float, model: str
) -> Edit:
    """The plan as an edit: added triples with their P(z|q) after it, removed ones with theirs before."""
    after = [z for z in known if z not in plan.removed] + list(plan.added)

    def scored(triples: Sequence[Triple], graph: Sequence[Triple]) -> tuple[ScoredTriple, ...]:
        probability = retrieval_probabilities({z: evidence[z].relevance for z in graph}, none)
        return tuple(ScoredTriple(z, evidence[z].reasoning, probability[z]) for z in triples)

    return replace(
        edit,
        added=scored(plan.added, after),
        removed=scored(plan.removed, known),
        loss_before=plan.loss_before,
        loss_after=plan.loss_after,
        stop_reason=plan.stop_reason,
        model=model,
    )
