"""A chat: what is a correction or states a fact is learnt, anything else is answered.

It remembers what was spoken of, so that "she" and "there" find whom and what they mean, and asks
back where a name may mean two of the user's entities.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from kgt.graph import Edit
from kgt.linking import Link, ambiguous, candidates, resolved
from kgt.method.message import Reading, read_message
from kgt.method.pair import checked_query, is_correction
from kgt.reference import Mention
from kgt.triple import Triple, entity_key
from kgt.wording import is_question, leaves_off, sentence

if TYPE_CHECKING:
    from kgt.assistant import Answer, Assistant, Turn
    from kgt.lm import Message

HISTORY_TURNS = 6
"""Messages of a conversation that the model sees again."""
REMEMBERED = 12
"""How many mentions of entities a pronoun may refer to."""

_ASKS = re.compile(
    r"(?:who|what|where|when|why|how|which|whose|is|are|am|was|were|do|does|did|can|could|will|would|should|has|have)\b",
    re.IGNORECASE,
)

OnText = Callable[[str], None] | None


class Conversation:
    """One chat with an assistant; the graph outlives it, all else is forgotten with it."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._turns: list[Message] = []
        self._last: Answer | None = None
        self._spoken_of: deque[Mention] = deque(maxlen=REMEMBERED)
        self._unclear: tuple[str, Sequence[Link]] | None = None

    def say(self, message: str, on_text: OnText = None) -> Turn:
        """One message of the user's.

        Raises:
            BadInput: the message is empty, too long, or corrects without saying what is right.
        """
        message = checked_query(message)
        unclear, self._unclear = self._unclear, None
        if unclear:
            meant = self._meant(message, unclear[1])
            if meant:
                return self._answered(resolved(unclear[0], meant), on_text, subject=meant.entity)
        reading = read_message(message, self._last.query if self._last else "", self._assistant.encoder)
        if self._last and (reading.kind == "feedback" or is_correction(message)):
            return self._and_asked(message, self._corrected(self._last, message, reading, on_text), on_text)
        if reading.kind == "fact":
            told = self._noted(self._assistant.learn(reading.statements, message), on_text)
            return self._and_asked(message, told, on_text)
        return self._asked(message, on_text)

    def _corrected(self, last: Answer, message: str, reading: Reading, on_text: OnText) -> Turn:
        said = next(iter(reading.statements), None)
        feedback = said.text if said and is_question(message) else message
        subject = self._assistant.named(said.triple)[-1].subject if said else last.subject
        edit = self._assistant.teach(last.resolved or last.query, feedback, subject=subject or None)
        return self._noted(edit, on_text, instead_of_answer=True)

    def _and_asked(self, message: str, told: Turn, on_text: OnText) -> Turn:
        """What was learnt, and the answer to what the message asks besides."""
        from kgt.assistant import Turn

        question = _question_in(message)
        if not question:
            return told
        if on_text:
            on_text("\n")
        answered = self._asked(question, on_text)
        return Turn(f"{told.text}\n{answered.text}", answered.answer, told.edit)

    def _asked(self, message: str, on_text: OnText) -> Turn:
        from kgt.assistant import Turn

        me = self._assistant
        found = candidates(me.store, me.user, message, recent=self._spoken_of, encoder=me.encoder)
        choice = ambiguous(found) if found and is_question(message) else []
        if choice:
            text = f"Do you mean {' or '.join(one.entity for one in choice[:3])}?"
            self._unclear = (message, choice)
            if on_text:
                on_text(text)
            return Turn(text)
        return self._answered(message, on_text)

    def _answered(self, query: str, on_text: OnText, subject: str | None = None) -> Turn:
        from kgt.assistant import Turn

        if not leaves_off(query) and query[-1] not in ".?!…":
            query += "?" if _ASKS.match(query) else "."  # not left for the model to finish
        answer = self._assistant.ask(
            query, subject=subject, turns=self._turns[-HISTORY_TURNS:], on_text=on_text, recent=tuple(self._spoken_of)
        )
        self._last = answer
        self._turns += [{"role": "user", "content": query}, {"role": "assistant", "content": answer.text}]
        self._mention([c.triple for c in answer.facts], answer.subject)
        return Turn(answer.text, answer=answer)

    def _noted(self, edit: Edit, on_text: OnText, instead_of_answer: bool = False) -> Turn:
        from kgt.assistant import Turn, describe

        text = describe(edit)
        if on_text:
            on_text(text)
        facts = [z.triple for z in edit.added]
        if instead_of_answer:
            self._turns[-1]["content"] = " ".join(map(sentence, facts)) or text  # not the wrong answer
        self._mention(facts, facts[0].subject if facts else "")
        return Turn(text, edit=edit)

    def _mention(self, facts: Sequence[Triple], subject: str) -> None:
        for z in facts:
            self._spoken_of.appendleft(Mention(z.object, z.relation))
        if subject:
            self._spoken_of.appendleft(Mention(subject))

    def _meant(self, message: str, choice: Sequence[Link]) -> Link | None:
        """Which of the entities that were offered the user names."""
        words = set(entity_key(message).split())
        shared = set.intersection(*(set(entity_key(one.entity).split()) for one in choice))
        named = [one for one in choice if words & (set(entity_key(one.entity).split()) - shared)]
        return named[0] if len(named) == 1 else None


def _question_in(message: str) -> str:
    """The question that a message which states something also asks: "…, what should I buy him?"."""
    if not is_question(message):
        return ""
    last = re.split(r"(?<=[.!])\s+", message)[-1]
    asked = re.split(r",\s+(?=(?:what|where|which|who|how|when|why|can|could|should|is|are|do|does)\b)", last)[-1]
    return asked[0].upper() + asked[1:]
