"""Assistant: ask, teach, chat, forget, undo, explain, for one user, on one model and one graph.

Example:
    >>> me = Assistant(user="ana")
    >>> edit = me.teach("What does my dog eat?", "My dog is vegetarian.")
    >>> print(me.ask("What should I feed my dog?").text)
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from kgt.conversation import Conversation
from kgt.errors import BadInput, NotFound
from kgt.graph import Edit, Fact, GraphStore, ScoredTriple
from kgt.graph.names import CALLED, OWN
from kgt.graph.records import AsOf
from kgt.linking import Link, asked_about, candidates, link, resolved
from kgt.lm import LanguageModel, Message, Prompt, Scored, load_model
from kgt.lm.encoder import SentenceEncoder, bundled_encoder
from kgt.method import reasoning
from kgt.method.conflict import contradicts
from kgt.method.hops import own_thing, second_hop
from kgt.method.pair import Pair, checked_query, read_pair, strip_marker
from kgt.method.relations import personalised_triples, stated_triples
from kgt.method.retrieval import Candidate, Retrieval, retrieve, taught_queries
from kgt.method.statements import Said
from kgt.method.teach import decide_edit
from kgt.method.templates import Templates, templates_for
from kgt.method.tune import TuneSettings
from kgt.reference import ANIMALS, MANY, PEOPLE, Mention
from kgt.settings import Settings
from kgt.triple import Triple, entity_key
from kgt.wording import is_question, relation_in, stem

MAX_FACTS, MAX_SHARED = 2000, 200
"""Most facts of one entity considered for one query, and of those most of the base, by weight: "dog" has thousands."""
ATTEMPTS = 5
"""How often an edit is decided anew because another process changed the entity meanwhile."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the assistant said and why.

    Attributes:
        subject: the entity the query was taken to be about, "" if none was found.
        retrieval: every candidate fact with its P(z|q), and P(none|q).
        resolved: the query with the entity's name in the place of "she" or what else stood for it.
    """

    query: str
    text: str
    subject: str
    retrieval: Retrieval
    resolved: str = ""

    @classmethod
    def plain(cls, query: str) -> Answer:
        """For the model's own answer, whatever the graph says; without words as yet."""
        return cls(query, "", "", Retrieval(), query)

    @property
    def facts(self) -> tuple[Candidate, ...]:
        """The facts that decided it, first the one that led to the others' entity, where there were two hops."""
        led = (self.retrieval.via,) if self.retrieval.via else ()
        return led + self.retrieval.used


@dataclass(frozen=True, slots=True)
class Reason:
    """One candidate fact of an answer: whether it was used, and the edits that made it."""

    candidate: Candidate
    used: bool
    source: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a query is answered as it is."""

    query: str
    subject: str
    linked_by: str
    none: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Turn:
    """One reply in a chat: an answer, or an edit where the message was a correction."""

    text: str
    answer: Answer | None = None
    edit: Edit | None = None


class _H(NamedTuple):
    """H(q, a, K): what the user stated, and, when asked for, all of it; the model guesses only once."""

    stated: list[Triple]
    all: Callable[[], list[Triple]]


class Assistant:
    """A personalised language model: what the user says edits their graph, the graph changes the answers.

    Args:
        user: whose graph; each user sees the shared base and their own edits only.
        model, store: loaded or opened from the settings when first needed, if not given.
        tuning: how Algorithm 1 is run.
        scope: False switches off "none of these" (the paper's Eq. 5 as written).
        said_by: recorded in the edits; the user by default.
    """

    def __init__(
        self,
        user: str | None = None,
        *,
        model: LanguageModel | None = None,
        store: GraphStore | None = None,
        encoder: SentenceEncoder | None = None,
        settings: Settings | None = None,
        tuning: TuneSettings | None = None,
        templates: Templates | None = None,
        scope: bool = True,
        said_by: str = "",
    ) -> None:
        self.settings = settings or Settings.load(user=user)
        self.user = user or self.settings.user
        self.said_by = said_by or self.user
        self.tuning = tuning or TuneSettings()
        self.scope = scope
        self._given_model, self._given_store, self._given_encoder = model, store, encoder
        self._given_templates = templates
        self._conversation = Conversation(self)

    # -- the parts, made when first needed -------------------------------------------------------

    @cached_property
    def model(self) -> LanguageModel:
        s = self.settings
        return self._given_model or load_model(s.model, Path(s.cache), **s.loading)

    @cached_property
    def store(self) -> GraphStore:
        return self._given_store or GraphStore.open(self.settings.db)

    @cached_property
    def encoder(self) -> SentenceEncoder | None:
        return self._given_encoder or bundled_encoder()

    @cached_property
    def templates(self) -> Templates:
        return self._given_templates or templates_for(self.model)

    def as_user(self, user: str) -> Assistant:
        """The same model and store, another user."""
        return Assistant(
            user,
            model=self.model,
            store=self.store,
            encoder=self.encoder,
            settings=replace(self.settings, user=user),
            tuning=self.tuning,
            templates=self._given_templates,
            scope=self.scope,
        )

    # -- asking ----------------------------------------------------------------------------------

    def ask(
        self,
        query: str,
        *,
        subject: str | None = None,
        turns: Sequence[Message] = (),
        recent: Sequence[Mention] = (),
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Answer:
        """Answer a query with the user's facts that it asks for.

        Args:
            subject: e_q; found in the query if not given.
            turns: the conversation so far, a system message included.
            recent: what was spoken of before, latest first: whom "she" may mean.
            on_text: called with each piece of the answer as it comes.

        Raises:
            BadInput: the query is empty or too long.
        """
        answer = self.recall(query, subject=subject, recent=recent)
        pieces = []
        for piece in self.words(answer, turns=turns, max_tokens=max_tokens, temperature=temperature, seed=seed):
            pieces.append(piece)
            if on_text:
                on_text(piece)
        return replace(answer, text="".join(pieces).strip())

    def recall(self, query: str, *, subject: str | None = None, recent: Sequence[Mention] = ()) -> Answer:
        """The facts that a query asks for: an answer without words as yet; arguments as for `ask`."""
        query = checked_query(query)
        about, found, resolved = self._retrieve(query, subject, recent)
        return Answer(query, "", about, found, resolved)

    def words(
        self,
        answer: Answer,
        *,
        turns: Sequence[Message] = (),
        max_tokens: int | None = None,
        temperature: float = 0.0,
        seed: int | None = None,
    ) -> Iterator[str]:
        """The words of an answer, piece by piece; arguments as for `ask`."""
        if answer.retrieval.used:  # a fact answers by itself; a small model repeats what it said before
            turns = [turn for turn in turns if turn["role"] == "system"]
        return reasoning.generate_answer(
            self.model,
            self.templates,
            answer.resolved,
            answer.subject,
            [c.triple for c in answer.retrieval.weighed],
            weight=answer.retrieval.weight,
            turns=turns,
            max_tokens=max_tokens or self.settings.max_tokens,
            temperature=temperature,
            seed=seed,
        )

    def score_answers(
        self, query: str, answers: Sequence[str], *, subject: str | None = None, beginning: str | None = None
    ) -> list[Scored]:
        """P(a|q) of each answer as the assistant would give it now: facts, scope and decoding included (Eq. 1).

        Args:
            beginning: how the answer to a question begins; if not given, as its words show ("Where
                does my sister live?": "My sister lives in"), where they do.

        Returns:
            A score an answer; its `greedy` says whether the assistant would go on with exactly this.
        """
        start = self.answer_prompt(query, subject=subject, beginning=beginning)
        return self.model.logprobs([reasoning.answers_request(start, answers)])[0]

    def answer_prompt(self, query: str, *, subject: str | None = None, beginning: str | None = None) -> Prompt:
        """The prompt whose continuation is the answer, the query's facts in it; arguments as for `score_answers`."""
        query = checked_query(query)
        about, found, query = self._retrieve(query, subject)
        if beginning is None:
            own = relation_in(query, about) if about and is_question(query) else ""
            beginning = stem(about, own) if own else ""
        facts = [c.triple for c in found.weighed]
        return reasoning.answer_prompt(
            self.model, self.templates, query, about, facts, weight=found.weight, stem=beginning
        )

    def explain(self, query: str, *, subject: str | None = None) -> Explanation:
        """Why a query is answered as it is: every candidate fact, its probability and its edits."""
        query = checked_query(query)
        linked = None if subject else self._linked(query)
        about, found, _ = self._retrieve(query, subject)
        sources = {f.triple: f for f in self._about(about)} if about else {}
        reasons = tuple(
            Reason(
                c,
                c in found.used,
                sources[c.triple].source,
                tuple(self.store.edits_for(self.user, c.triple)) if sources[c.triple].source == "user" else (),
            )
            for c in found.candidates
        )
        return Explanation(query, about, linked.why if linked else "given" if subject else "", found.none, reasons)

    # -- teaching --------------------------------------------------------------------------------

    def teach(
        self,
        query: str,
        feedback: str,
        relations: Sequence[str] | None = None,
        *,
        subject: str | None = None,
        object: str | None = None,
        dry_run: bool = False,
        request: str = "",
    ) -> Edit:
        """Edit the graph so that the query, however it is worded, gets the answer in the feedback.

        Args:
            relations: the user's own names for how subject and object are related.
            subject, object: e_q and e_a; read out of the texts if not given.
            dry_run: decide, but store nothing.
            request: the caller's own name for this; under it an edit is made only once.

        Returns:
            The edit. Its `id` is None where nothing changed because the fact was known, or on a dry run.

        Raises:
            BadInput: a text is empty, too long or no statement, or no entity is found.
        """
        checked_query(query)
        pair = read_pair(query, feedback, subject or self._subject_of(query, feedback), object)
        started = time.perf_counter()
        given = tuple(relations or ())
        h = _H(
            stated_triples(pair, self.tuning.k, given),
            cache(lambda: personalised_triples(pair, self.tuning.k, self.model, self.encoder, self.templates, given)),
        )
        for _ in range(ATTEMPTS):
            version, facts = self.store.version(self.user), self._about(pair.subject)
            edit = self._decided(pair, h, facts, started, request)
            if dry_run or not (edit.added or edit.removed):
                return edit
            with self.store.transaction(self.user) as graph:
                unchanged = graph.version() == version
                if unchanged or graph.about(pair.subject, limit=MAX_FACTS, shared=MAX_SHARED) == facts:
                    return graph.commit(edit)
        with self.store.transaction(self.user) as graph:  # others keep changing this entity: now they wait
            facts = graph.about(pair.subject, limit=MAX_FACTS, shared=MAX_SHARED)
            return graph.commit(self._decided(pair, h, facts, started, request))

    def add_triples(
        self, triples: Iterable[Triple], *, kind: str = "add", dry_run: bool = False, request: str = ""
    ) -> Edit:
        """Add facts exactly as given, without a model, in one transaction; contradicted facts go."""
        new = list(dict.fromkeys(triples))
        stale = [f.triple for s in {z.subject for z in new} for f in self._about(s) if self._is_stale(f.triple, new)]
        edit = Edit(
            user=self.user,
            kind="import" if kind == "import" else "add",
            added=tuple(ScoredTriple(z) for z in new),
            removed=tuple(ScoredTriple(z) for z in dict.fromkeys(stale)),
            said_by=self.said_by,
            request=request,
        )
        return edit if dry_run else self.store.commit(edit)

    def amend(self, old: Triple, new: Triple) -> Edit:
        """Put one fact in the place of another, by hand, in one transaction; facts the new one contradicts go too.

        Raises:
            BadInput: they are the same fact.
            NotFound: the user sees no such old fact.
        """
        if old == new:
            raise BadInput(f"{new} is the same fact: case and articles do not count.", "Change a word of it.")
        with self.store.transaction(self.user) as graph:
            if old not in (f.triple for f in graph.about(old.subject)):
                raise NotFound(f"{old} is not there any more.", "Look at what is stored now.")
            stale = [f.triple for f in graph.about(new.subject) if f.triple != new and self._is_stale(f.triple, [new])]
            gone = dict.fromkeys([old, *stale])
            edit = Edit(self.user, "add", (ScoredTriple(new),), tuple(map(ScoredTriple, gone)), said_by=self.said_by)
            return graph.commit(edit)

    def learn(self, statements: Iterable[Said], message: str = "") -> Edit:
        """Add what a message states, in one transaction; what it contradicts goes, unless it only adds ("also")."""
        said = [replace(one, triple=z) for one in statements for z in self.named(one.triple)]
        new = list(dict.fromkeys(one.triple for one in said))
        stale = [
            f.triple
            for s in {z.subject for z in new}
            for f in self._about(s)
            if f.triple not in new
            and any(contradicts(one.triple, f.triple, replaces=one.replaces) for one in said if not one.adds)
        ]
        added, removed = (tuple(ScoredTriple(z) for z in dict.fromkeys(side)) for side in (new, stale))
        return self.store.commit(Edit(self.user, "add", added, removed, answer=message, said_by=self.said_by))

    def named(self, z: Triple) -> list[Triple]:
        """A stated fact, its subject as the graph names it; "my sister Ana" also says what my sister is called."""
        kin = re.fullmatch(r"((?:my|our)\s+(\w+))\s+([A-Z]\w*(?:\s[A-Z]\w*)*)", z.subject)
        if kin and kin.group(2).casefold() in MANY:
            return [Triple(kin.group(3), "is", kin.group(1)), Triple(kin.group(3), z.relation, z.object)]
        if kin and kin.group(2).casefold() in PEOPLE | ANIMALS:
            called = {f.triple.key[2] for f in self._about(kin.group(1)) if f.triple.key[1] in CALLED}
            if not called - {entity_key(kin.group(3))}:
                return [Triple(kin.group(1), "name", kin.group(3)), Triple(kin.group(1), z.relation, z.object)]
        found = link(self.store, self.user, z.subject)
        alias = found is not None and found.why in ("alias", "typo", "partial")
        return [Triple(found.entity, z.relation, z.object) if found and alias else z]

    def forget(
        self, subject: str, relation: str | None = None, object: str | None = None, *, request: str = ""
    ) -> Edit:
        """Remove what is known about an entity, or only one relation or one fact of it; `request` is as for `teach`.

        Without a relation only the user's own facts go; a relation also hides matching facts of the base.

        Raises:
            NotFound: there is nothing to forget.
        """
        key = Triple(subject, relation or "any", object or "any").key
        facts = [
            f.triple
            for f in self.store.about(self.user, subject)
            if (relation is None or f.triple.key[1] == key[1])
            and (object is None or f.triple.key[2] == key[2])
            and (f.source == "user" or relation is not None)
        ]
        if not facts:
            wanted = " ".join(x for x in (subject, relation, object) if x)
            raise NotFound(f"Nothing of yours is stored about {wanted!r}.", "See `kgt facts` for what is.")
        return self.store.commit(
            Edit(
                self.user,
                "forget",
                removed=tuple(ScoredTriple(z) for z in facts),
                said_by=self.said_by,
                request=request,
            )
        )

    def undo(self, edit_id: int | None = None, *, request: str = "") -> Edit:
        """Reverse an edit, by default the latest; an edit too, so it can be undone. `request` is as for `teach`."""
        return self.store.undo(self.user, edit_id, said_by=self.said_by, request=request)

    def facts(
        self, entity: str | None = None, *, as_of: AsOf = None, include_base: bool = False, limit: int | None = None
    ) -> list[Fact]:
        """The user's facts, of one entity if named, and as they were at a time or after an edit."""
        return self.store.facts(self.user, entity, as_of, include_base, limit)

    def history(self, limit: int | None = None) -> list[Edit]:
        """The user's edits, latest first."""
        return self.store.history(self.user, limit)

    # -- chatting --------------------------------------------------------------------------------

    def chat(self, message: str, *, on_text: Callable[[str], None] | None = None) -> Turn:
        """One turn: a correction of the last answer, or a fact, is learnt; anything else is answered.

        Raises:
            BadInput: the message is empty, too long, or corrects without saying what is right.
        """
        return self._conversation.say(message, on_text)

    def new_chat(self) -> None:
        """Forget the conversation; the graph stays."""
        self._conversation = Conversation(self)

    # -- within ----------------------------------------------------------------------------------

    def _about(self, subject: str) -> list[Fact]:
        return self.store.about(self.user, subject, limit=MAX_FACTS, shared=MAX_SHARED)

    def _subject_of(self, query: str, feedback: str) -> str:
        texts = (query, strip_marker(feedback))
        asked, told = (link(self.store, self.user, text, encoder=self.encoder) for text in texts)
        if asked and told and f"{asked.entity} ".startswith(f"{told.entity} "):
            return told.entity  # the feedback shows where the name ends: "my stall closed", "My stall is …"
        if asked or told:
            return (asked or told).entity  # type: ignore[union-attr]
        raise BadInput(
            "No entity was found in the query or the feedback.", "Name the one it is about: subject=… (`--subject`)."
        )

    def _linked(self, query: str, recent: Sequence[Mention] = ()) -> Link | None:
        """The entity whose facts a query asks for."""
        links = candidates(self.store, self.user, query, recent=recent, encoder=self.encoder)
        return asked_about(self.store, self.user, links)

    def _retrieve(self, query: str, subject: str | None, recent: Sequence[Mention] = ()) -> tuple[str, Retrieval, str]:
        """The query's entity, what the graph offers, and the query with the entity as the graph names it."""
        found = self._linked(query, recent) if subject is None else None
        subject = subject or (found.entity if found else "")
        facts = self._about(subject) if subject else []
        if found and found.why == "name":  # "Water", the film, is not what the base knows of water
            facts = [f for f in facts if f.source == "user" or f.triple.subject[0].isupper()]
        query = resolved(query, found) if found and facts else query
        offered = self._offered(query, subject, facts)
        if self.scope and found and found.why == "user" and not offered.used:
            thing = self._thing_of(query)
            if thing:
                beside = self._offered(query, thing, self._about(thing))
                if beside.used:
                    return thing, beside, query
        if self.scope and offered.candidates:
            hop = second_hop(query, subject, offered.candidates, self._own_facts, self.encoder, taught_queries(facts))
            if hop:
                offered = replace(self._offered(hop.query, hop.subject, hop.facts), via=hop.via)
                return hop.subject, offered, hop.query
        return subject, offered, query

    def _offered(self, query: str, subject: str, facts: Sequence[Fact]) -> Retrieval:
        found = retrieve(
            query,
            subject,
            [f.triple for f in facts],
            self.model,
            self.encoder,
            self.templates,
            taught_by=taught_queries(facts),
            scope=self.scope,
        )
        return replace(found, shared=frozenset(f.triple for f in facts if f.source != "user"))

    def _thing_of(self, query: str) -> str | None:
        """What a question about the user may be about instead: a thing it names, or one a fact about which fits."""
        links = candidates(self.store, self.user, query, encoder=self.encoder)
        if links and links[0].why != "user":
            return links[0].entity
        return own_thing(query, self.store.named(self.user, {OWN}).get(OWN, []), self._own_facts, self.encoder)

    def _own_facts(self, entity: str) -> list[Fact]:
        return self.store.facts(self.user, entity, limit=MAX_FACTS)

    def _is_stale(self, old: Triple, new: Iterable[Triple]) -> bool:
        return any(contradicts(z, old) for z in new)

    def _decided(self, pair: Pair, h: _H, facts: Sequence[Fact], started: float, request: str) -> Edit:
        edit = decide_edit(
            pair,
            h.stated,
            facts,
            self.model,
            self.encoder,
            self.templates,
            self.tuning,
            user=self.user,
            scope=self.scope,
            guess=h.all,
        )
        took = (time.perf_counter() - started) * 1000
        return replace(edit, said_by=self.said_by, milliseconds=took, request=request)
