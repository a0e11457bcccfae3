"""A chat: what is a correction or states a fact is learnt, anything else is answered.

It remembers what was spoken of, so that "she" and "there" find whom and what they mean, and asks
back where a name may mean two of the user's entities.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from kgt.errors import BadInput
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


@dataclass(slots=True)
class Reply:
    """What a message did and found, while its words still come.

    Attributes:
        edit: what was learnt from the message.
        answer: what answers it, if it asks something; its text is there when the words have come.
        words: the reply, piece by piece.
    """

    edit: Edit | None = None
    answer: Answer | None = None
    words: Iterable[str] = ()


class Conversation:
    """One chat with an assistant; the graph outlives it, all else is forgotten with it.

    Args:
        messages: what was said before, where somebody else keeps the conversation. Nothing is learnt from it.
        learns, facts: whether messages are learnt from, and answered with the user's facts.
    """

    def __init__(
        self, assistant: Assistant, messages: Sequence[Message] = (), *, learns: bool = True, facts: bool = True
    ) -> None:
        self._assistant = assistant
        self._learns, self._facts = learns, facts
        self._system = [m for m in messages if m["role"] == "system"][:1]
        self._turns: list[Message] = []
        self._last: Answer | None = None
        self._spoken_of: deque[Mention] = deque(maxlen=REMEMBERED)
        self._unclear: tuple[str, Sequence[Link]] | None = None
        said = [m for m in messages if m["role"] != "system" and m["content"].strip()]
        for message in said[-HISTORY_TURNS:]:
            self._recollect(message)

    def say(self, message: str, on_text: OnText = None) -> Turn:
        """One message of the user's.

        Raises:
            BadInput: the message is empty, too long, or corrects without saying what is right.
        """
        from kgt.assistant import Turn

        reply, pieces = self.reply(message), []
        for piece in reply.words:
            pieces.append(piece)
            if on_text:
                on_text(piece)
        return Turn("".join(pieces).strip(), reply.answer, reply.edit)

    def reply(self, message: str, **decoding: Any) -> Reply:
        """One message of the user's: what it states is learnt, and what it asks is looked up, before this returns.

        Args:
            decoding: max_tokens, temperature and seed, as for `Assistant.ask`.

        Raises:
            BadInput: as above.
        """
        message = checked_query(message)
        unclear, self._unclear = self._unclear, None
        meant = self._meant(message, unclear[1]) if unclear else None
        if unclear and meant:
            return self._answered(resolved(unclear[0], meant), meant.entity, decoding)
        edit = self.learn(message) if self._learns else None
        if edit is None:
            return self._asked(message, decoding)
        question = _question_in(message)
        asked = self._asked(question, decoding) if question else Reply()
        noted = describe(edit) + ("\n" if question else "")
        return Reply(edit, asked.answer, _after(noted, asked.words))

    def learn(self, message: str) -> Edit | None:
        """Correct the last answer or add facts, where the message does either; None where it does not.

        Raises:
            BadInput: the message is empty, too long, or corrects without saying what is right.
        """
        message = checked_query(message)
        reading = self._read(message)
        if self._last and self._corrects(self._last, message, reading):
            edit = self._corrected(self._last, message, reading)
        elif _tells(reading):
            edit = self._assistant.learn(reading.statements, message)
        else:
            return None
        self._mention([z.triple for z in edit.added])
        return edit

    def recall(self, query: str, subject: str | None = None) -> Answer:
        """The facts that a query asks for, its pronouns read in this conversation; without words."""
        from kgt.assistant import Answer

        if not self._facts:
            return Answer.plain(checked_query(query))
        return self._assistant.recall(query, subject=subject, recent=tuple(self._spoken_of))

    def _read(self, message: str) -> Reading:
        return read_message(message, self._last.query if self._last else "", self._assistant.encoder)

    def _corrects(self, last: Answer, message: str, reading: Reading) -> bool:
        """Whether a message is about the last answer; what it states of something else is a fact of its own."""
        if is_correction(message):
            return True
        said = next(iter(reading.statements), None)
        if reading.kind != "feedback" or said is None or not last.subject:
            return reading.kind == "feedback"
        return entity_key(self._assistant.named(said.triple)[-1].subject) == entity_key(last.subject)

    def _recollect(self, message: Message) -> None:
        """Take note of a turn as when it was said, but learn nothing."""
        text = message["content"]
        self._turns.append(message)
        if message["role"] != "user":
            return
        unclear, self._unclear = self._unclear, None
        try:
            meant = self._meant(text, unclear[1]) if unclear else None
            if unclear and meant:
                self._last = self.recall(resolved(unclear[0], meant), meant.entity)
                return
            reading = self._read(checked_query(text))
            if self._last and self._corrects(self._last, text, reading):
                return
            if _tells(reading):
                self._mention([one.triple for one in reading.statements])
            elif choice := self._choice(text):
                self._unclear = (text, choice)
            else:
                self._last = self.recall(text)
                self._mention([c.triple for c in self._last.facts], self._last.subject)
        except BadInput:  # too long to be a question or a statement
            self._last = None

    def _corrected(self, last: Answer, message: str, reading: Reading) -> Edit:
        said = next(iter(reading.statements), None)
        feedback = said.text if said and is_question(message) else message
        subject = self._assistant.named(said.triple)[-1].subject if said else last.subject
        edit = self._assistant.teach(last.resolved or last.query, feedback, subject=subject or None)
        if self._turns:  # not the wrong answer
            facts = " ".join(sentence(z.triple) for z in edit.added)
            self._turns[-1] = {"role": "assistant", "content": facts or describe(edit)}
        return edit

    def _asked(self, message: str, decoding: dict[str, Any]) -> Reply:
        choice = self._choice(message)
        if not choice:
            return self._answered(message, None, decoding)
        self._unclear = (message, choice)
        return Reply(words=iter([f"Do you mean {' or '.join(one.entity for one in choice[:3])}?"]))

    def _choice(self, message: str) -> Sequence[Link]:
        """The entities between which a question leaves open which one it means."""
        if not self._facts:
            return []
        me = self._assistant
        found = candidates(me.store, me.user, message, recent=self._spoken_of, encoder=me.encoder)
        return ambiguous(found) if found and is_question(message) else []

    def _answered(self, query: str, subject: str | None, decoding: dict[str, Any]) -> Reply:
        if not leaves_off(query) and query[-1] not in ".?!…":
            query += "?" if _ASKS.match(query) else "."  # not left for the model to finish
        answer = self.recall(query, subject)
        reply = Reply(answer=answer)
        reply.words = self._worded(reply, answer, decoding)
        return reply

    def _worded(self, reply: Reply, answer: Answer, decoding: dict[str, Any]) -> Iterator[str]:
        """The words of the answer, and at their end a note of them."""
        text = ""
        for piece in self._assistant.words(answer, turns=self._system + self._turns[-HISTORY_TURNS:], **decoding):
            text += piece
            yield piece
        reply.answer = self._last = replace(answer, text=text.strip())
        self._turns += [{"role": "user", "content": answer.query}, {"role": "assistant", "content": text.strip()}]
        self._mention([c.triple for c in answer.facts], answer.subject)

    def _mention(self, facts: Sequence[Triple], subject: str = "") -> None:
        """Facts that were spoken of, and what they are about: the first one's subject, if nothing else."""
        for z in facts:
            self._spoken_of.appendleft(Mention(z.object, z.relation))
        if subject or facts:
            self._spoken_of.appendleft(Mention(subject or facts[0].subject))

    def _meant(self, message: str, choice: Sequence[Link]) -> Link | None:
        """Which of the entities that were offered the user names."""
        words = set(entity_key(message).split())
        shared = set.intersection(*(set(entity_key(one.entity).split()) for one in choice))
        named = [one for one in choice if words & (set(entity_key(one.entity).split()) - shared)]
        return named[0] if len(named) == 1 else None


def _tells(reading: Reading) -> bool:
    """Whether a message that corrects nothing states facts."""
    return reading.kind == "fact" or (reading.kind == "feedback" and bool(reading.statements))


def _question_in(message: str) -> str:
    """The question that a message which states something also asks: "…, what should I buy him?"."""
    if not is_question(message):
        return ""
    last = re.split(r"(?<=[.!])\s+", message)[-1]
    asked = re.split(r",\s+(?=(?:what|where|which|who|how|when|why|can|could|should|is|are|do|does)\b)", last)[-1]
    return asked[0].upper() + asked[1:]


def _after(noted: str, words: Iterable[str]) -> Iterator[str]:
    yield noted
    yield from words


def describe(edit: Edit) -> str:
    """What an edit did, in a line for the person who caused it."""
    if edit.added:
        return "Noted: " + " ".join(sentence(z.triple) for z in edit.added)
    if edit.removed:
        return "Forgotten: " + " ".join(sentence(z.triple) for z in edit.removed)
    return "I knew that already; nothing changed."
