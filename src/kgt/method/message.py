"""Is a chat message feedback on the last answer, a fact worth keeping, or neither; and what does it state?

Which kind it is the encoder reads (`kgt.method.reader`); rules are left for instructions in disguise and
for a KGT without the encoder. What it states is read by rules either way (`kgt.method.statements`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kgt.lm.encoder import SentenceEncoder
from kgt.method.pair import MAX_FEEDBACK, is_correction, strip_marker
from kgt.method.reader import KINDS, Kind, kind_probabilities
from kgt.method.statements import Said, statements
from kgt.triple import clean, entity_key
from kgt.wording import is_question

SURE = 0.9
"""Probability from which a message is taken for a fact: one missed costs a repetition, a false one spoils answers."""
LIKELY = 0.5
"""And from which one sentence of such a message is."""
LONGEST_ANSWER = 8
"""Words of a message that answers a question without being a sentence ("In Ghent.")."""

_NEVER = re.compile(
    r"ignore (?:your|all|any|the|previous)|disregard|override|system:|system prompt"
    r"|your (?:rules|prompt|instructions)|you are (?:now|a|an|my)\b|forget everything|all my facts|</?\w+>"
    r"|pretend|role ?play|in (?:this|the|my) (?:story|novel|dream|poem|play|game)|once upon|my character"
    r"|\btranslat|how do (?:you|i) say ['\"‘“]|what does .* mean"
    r"|\binto (?:spanish|french|german|english|dutch|italian)|grammar|summari[sz]e|https?://|[{};]|=="
    r"|\w+\(.*\)|\bSELECT\b|\berror:|dear (?:sir|madam|mr|ms)",
    re.IGNORECASE,
)
"""A message with one of these states nothing of its user: instructions, fiction, translation, pasted text."""
_HEARSAY = re.compile(
    r"\b(?:says?|said|told me|tells me|claims?|claimed|according to|rumou?r|they say|people say|heard that"
    r"|reads?:|the song|in the (?:movie|film|book|novel|series|song|article|game)|quote|wrote that)\b|[\"“”«»]"
    r"|(?:^|\s)'[^']+'(?:\s|$|[.?!])",
    re.IGNORECASE,
)
_JOKE = re.compile(
    r"\b(?:lol|lmao|rofl|ha(?:ha)+|hehe|jk|just kidding|joking|yeah,? right|literally|basically|obviously"
    r"|such an?|a million times|so \w+ (?:that )?(?:I|i) could|the pope|as if)\b"
    r"|^(?:sure|right|of course), (?:my|our|I)\b|[😂🤣😜😉]|;-?\)|/s\b",
    re.IGNORECASE,
)
_QUESTION = re.compile(
    r"^(?:and |but |so |then )?(?:who|what|whats|what's|where|when|why|which|whose|whom|how|is|are|am|was|were"
    r"|do|does|did|can|could|will|would|should|shall|may|might|has|have|had)\b(?!.*[.!]$)|\b(?:I|i) wonder\b"
    r"|\b(?:tell|show|remind) me\b|like to know\b|\bdo you know\b|\b(?:right|isn't it|correct)\s*\?$"
    r"|^(?:can|could|would|will) you\b",
)
_REQUEST = re.compile(
    r"^(?:please\s+|now\s+|then\s+|ok(?:ay)?,?\s+)?(?:write|give|make|suggest|recommend|explain|describe|list"
    r"|find|show|help|draft|create|tell|let|put|correct|fix|add|compute|calculate|compare|play|send|open|stop"
    r"|start|try|check|read|look|delete|print|repeat|answer|call|set|plan|book|order|another|something|fold"
    r"|mix|bake|stir|cut)\b",
    re.IGNORECASE,
)
_UNREAL = re.compile(
    r"^(?:if|suppose|supposing|imagine|assuming|assume|let's say|say|what if|had (?:i|my)|in case|unless"
    r"|were (?:i|my))\b|\b(?:if only|I wish|i wish|would|could|wouldn't|couldn't|as though|hypothetically)\b"
    r"|['’]d\b",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:might|may be|maybe|perhaps|possibly|probably|not sure|unsure|I guess|i guess|I think|i think"
    r"|I suppose|don't know|dunno|no idea|not certain|can't remember|don't remember|supposedly|apparently"
    r"|seems?|I believe)\b",
    re.IGNORECASE,
)
_PLAN = re.compile(
    r"\b(?:wants? to|wanted to|(?:am|is|are|'m|'s|'re|’m|im) (?:going|planning|about|hoping|thinking)\b"
    r"|hopes? to|plans? to|intends? to|will|should|ought to|need to|have to|must|would like|looking forward"
    r"|tomorrow|tonight|next (?:week|month|year))\b|['’]ll\b",
    re.IGNORECASE,
)
_PASSING = re.compile(
    r"^(?:well,? |ok,? |so,? )?(?:(?:I|i)(?:['’]?m| am)(?: (?:just|so|very|really|a bit|still))? (?:back|here"
    r"|tired|bored|hungry|thirsty|sorry|late|busy|fine|good|ok|okay|done|ready|happy|sad|confused|lost|cold"
    r"|hot|in a hurry|on (?:the|my) (?:bus|train|way|phone)|leaving|off|sleepy|glad|sure|curious|not (?:sure"
    r"|happy))\b|.*\bjust (?:woke|got|came|arrived|finished|had)\b|.*\bgot \w+ed\b|.*\b(?:is|are) getting\b"
    r"|.*\bright now\b|what a )",
)
_MOOD = re.compile(
    r"\b(?:today|this (?:morning|afternoon|evening))\b"
    r"|^(?:I|i|we)(?:['’]?m|['’]re| am| are) (?:so|very|really|too|a bit|quite|pretty|feeling)\b"
    r"|^(?:I|i|we) (?:need|feel|hope|wish|want|mean|guess|think)\b"
    r"|^(?:I|i|we)(?:['’]?m|['’]re| am| are) (?!learning|studying|working|training|living|expecting|taking"
    r"|doing|retraining)\w+ing\b",
    re.IGNORECASE,
)
"""How somebody is or what they are at just now, or want of the assistant."""
_ABOUT_THE_ANSWER = re.compile(
    r"^(?:that|this|it|you|your|these|those)\b"
    r"|^(?:I|i) (?:like|love|hate|don't like|agree with|don't understand|understand|see|know)(?:$|[.!]"
    r"| (?:that|this|it|your|the (?:answer|explanation|idea))\b)",
    re.IGNORECASE,
)
_SMALL_TALK = re.compile(
    r"^(?:hi|hello|hey|thanks?|thank you|thx|cheers|good (?:morning|night|evening|day|job)|bye|goodbye|see you"
    r"|nice|great|cool|ok|okay|yes|yep|no|nope|nah|hm+|lol|brb|wow|sorry|sure|please|lovely|welcome|congrat\w*"
    r"|asdf|never mind|no (?:problem|worries|idea)|wrong(?: answer)?|incorrect)\b[\s,.!]*(?:there|you|so much"
    r"|all|later|cool|to meet you|.{0,12})?[\s.!]*$",
    re.IGNORECASE,
)
_LEAD = re.compile(
    r"^(?:(?:please |kindly )?(?:remember|note|keep in mind|don't forget|know|be advised)(?: that)?|just so you know"
    r"|so you know|fyi|btw|by the way|for the record|for your information|for future reference|on that note|anyway"
    r"|well|also|oh|hi there|hi|hey|hello|thanks|ps|incidentally|not kidding|store this|listen|look|okay|ok|and|but"
    r"|so)\b[\s,:!–—-]*",
    re.IGNORECASE,
)
_JUDGEMENTS = frozenset(
    (
        "wrong right great good bad boring long short funny nice true false not ok okay fine dull perfect "
        "helpful useless "
        "interesting silly amazing awful brilliant clear unclear confusing so too very just"
    ).split()
)
"""What is said of an answer, and is none itself."""
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=\S)|\n+")
_TAG = re.compile(
    r",\s+(?=(?:what|where|which|who|how|when|why|can|could|should|is|are|do|does)\b[^,]*\?)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a message is.

    Attributes:
        statements: what it states; none if it is neither fact nor feedback, or short feedback ("Tuesdays.").
    """

    kind: Kind
    statements: tuple[Said, ...] = ()


def read_message(message: str, query: str = "", encoder: SentenceEncoder | None = None) -> Reading:
    """Read a message.

    Args:
        query: what the user asked last, "" if nothing was answered yet.
        encoder: reads which kind it is; without one, rules do, which know fewer ways of saying things.
    """
    text = clean(message[: 4 * MAX_FEEDBACK])
    if not re.search(r"\w", text) or _NEVER.search(message):
        return Reading("neither")
    if encoder is None:
        return _by_rules(text, query)
    kind = decided(kind_probabilities(encoder, [(query, text)])[0])
    if kind == "feedback":
        return Reading("feedback", tuple(statements([_plain(strip_marker(text))])))
    if kind == "fact":
        return Reading("fact", tuple(statements(_stating(text, encoder))))
    return Reading("neither")


def decided(probabilities: npt.NDArray[np.float32], sure: float = SURE) -> Kind:
    """The likeliest kind, a fact only where that is sure; probabilities in the order of `KINDS`."""
    kind = KINDS[int(probabilities.argmax())]
    return "neither" if kind == "fact" and probabilities.max() < sure else kind


def _stating(text: str, encoder: SentenceEncoder) -> list[str]:
    """The sentences of a message that state something."""
    parts = [p for p in _parts(text) if p and not is_question(p) and not _REQUEST.search(p)]
    if len(parts) < 2:
        return parts
    likely = kind_probabilities(encoder, [("", part) for part in parts])[:, KINDS.index("fact")]
    return [part for part, p in zip(parts, likely, strict=True) if p >= LIKELY]


def _parts(text: str) -> list[str]:
    return [_plain(part) for sentence in _SENTENCES.split(text) for part in _TAG.split(sentence)]


def _by_rules(text: str, query: str) -> Reading:
    """What marks a message as no plain statement is looked for; what is left must read as subject, verb, object."""
    if _HEARSAY.search(text) or _JOKE.search(text):
        return Reading("neither")
    corrects = bool(query) and is_correction(text)
    body = strip_marker(text) if corrects else text
    empty = _SMALL_TALK.match(body) or not re.search(r"\w", body) or re.fullmatch(r"(?:answer|again)\W*", body)
    if query and corrects and not empty and not _doubtful(body):
        return Reading("feedback", tuple(statements([_plain(body)])))
    about = query if is_question(query) else ""
    if about and _answers_shortly(text, about):
        return Reading("feedback")
    doubted = _UNSURE.search(text) or _UNREAL.match(text)
    found = [] if doubted else statements([p for p in _parts(text) if p and not _rejected(p)])
    if not found:
        return Reading("neither")
    return Reading("feedback" if about and _answers(about, found[0]) else "fact", tuple(found))


def _plain(sentence: str) -> str:
    """A sentence without what leads up to it: "Remember that", "FYI"."""
    before = ""
    while sentence != before:
        before, sentence = sentence, _LEAD.sub("", sentence, count=1)
    return sentence.strip()


def _rejected(sentence: str) -> bool:
    """Whether a sentence states nothing lasting about the user's world."""
    return (
        _doubtful(sentence)
        or any(p.search(sentence) for p in (_REQUEST, _PASSING, _MOOD, _ABOUT_THE_ANSWER, _PLAN))
        or bool(_SMALL_TALK.match(sentence))
    )


def _doubtful(sentence: str) -> bool:
    return is_question(sentence) or any(p.search(sentence) for p in (_QUESTION, _UNREAL, _UNSURE))


def _answers_shortly(text: str, query: str) -> bool:
    """Whether a message can be nothing but the answer to what was asked: "Tuesdays.", "It's Rex, not Max"."""
    if len(text.split()) > LONGEST_ANSWER or not re.search(r"\w", text) or is_question(text):
        return False
    if _SMALL_TALK.match(text) or _doubtful(text) or _REQUEST.match(text) or _PASSING.match(text) or _PLAN.search(text):
        return False
    quite = re.search(r"\b(?:a bit|a little|quite|rather)\b", text)
    mine = not quite and bool(re.search(r"\b(?:my|our)\b", query, re.IGNORECASE))
    named = re.match(
        r"(?:it|he|she|they)(?:['’]s|['’]re| is| are)\s+(?:an?\s+(?!bit|little|lot)|the\s+|in\s+|on\s+|at\s+)?(\w+)",
        text,
        re.IGNORECASE,
    )
    if named:
        word = named.group(1)
        return (
            not word[0].islower()
            or (" a" in named.group().casefold() and not quite)
            or (mine and word.casefold() not in _JUDGEMENTS)
        )
    own = re.match(r"(?:I|we|my|our)\b", text, re.IGNORECASE)
    return not own and not _ABOUT_THE_ANSWER.match(text) and not statements([text])


def _answers(query: str, said: Said) -> bool:
    """Whether a statement is about the entity that the query asks for."""
    key = entity_key(said.triple.subject)
    mine = r"\b(?:i|my|me|our|we)\b"
    return bool(re.search(mine if key in ("i", "we") else rf"\b{re.escape(key.split()[-1])}\b", query, re.IGNORECASE))
