"""K-LaMP-style memory (after Baek et al. 2024, arXiv 2311.06318): an entity-centric store put into the prompt.

The paper's code is not public. As described there, a user's history is turned into an
entity-centric knowledge store — which entities occurred, how often, when last, beside which
others, no raw text — and the entities that fit the current context stand as text in the prompt.
Nothing is optimised, nothing removed.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from time import perf_counter

from kgt.editors.base import EditReport, EditRequest, InContextEditor, Question
from kgt.lm import LanguageModel, Message, Prompt
from kgt.method.reasoning import answer_prompt
from kgt.method.templates import templates_for
from kgt.triple import Triple, entity_key

MOST_ENTITIES = 5
"""Most entities of the store put into a prompt."""
MOST_LINKS = 5
"""Most entities named beside each."""
SYSTEM = "The user is interested in the following entities. {entities}"


@dataclass(slots=True)
class Entity:
    """What the store keeps of one entity."""

    name: str
    count: int = 0
    last_seen: int = 0
    beside: Counter[str] = field(default_factory=Counter)


class KLaMP(InContextEditor):
    """Remembers which entities a user named together."""

    name = "klamp"

    def __init__(self, model: LanguageModel) -> None:
        super().__init__(model)
        self._templates = templates_for(model)
        self.reset()

    def edit(self, request: EditRequest) -> EditReport:
        started = perf_counter()
        self._clock += 1
        store = self._stores[request.user]
        pair = (request.subject, request.object)
        for name, other in (pair, pair[::-1]):
            entity = store.setdefault(entity_key(name), Entity(name))
            entity.count += 1
            entity.last_seen = self._clock
            entity.beside[other] += 1
        added = (Triple(request.subject, "seen with", request.object),)
        return EditReport((perf_counter() - started) * 1000, added)

    def prompt(self, question: Question) -> Prompt:
        found = self._compatible(question)
        turns: list[Message] = []
        if found:
            lines = (f"{e.name} ({', '.join(name for name, _ in e.beside.most_common(MOST_LINKS))})." for e in found)
            turns = [{"role": "system", "content": SYSTEM.format(entities=" ".join(lines))}]
        subject = question.subject or ""
        return answer_prompt(self.model, self._templates, question.query, subject, (), turns=turns, stem=question.stem)

    def reset(self) -> None:
        self._clock = 0
        self._stores: dict[str, dict[str, Entity]] = defaultdict(dict)

    def memory(self) -> int:
        return sum(
            sys.getsizeof(key) + sys.getsizeof(e) + sys.getsizeof(e.beside)
            for store in self._stores.values()
            for key, e in store.items()
        )

    def _compatible(self, question: Question) -> list[Entity]:
        """The stored entities that occur in the question, most frequent first, then the latest."""
        store = self._stores.get(question.user, {})
        words = entity_key(question.query).split()
        named = {entity_key(question.subject)} if question.subject else set()
        for start in range(len(words)):
            named.update(" ".join(words[start:end]) for end in range(start + 1, min(start + 6, len(words)) + 1))
        found = [store[key] for key in named if key in store]
        return sorted(found, key=lambda e: (-e.count, -e.last_seen))[:MOST_ENTITIES]
