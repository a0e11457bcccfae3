"""A model behind a server of the OpenAI kind that returns log-probabilities of its prompt.

vLLM, SGLang and llama-cpp-python's server do (`echo` with `logprobs`). Whether a server does is found
out when the model is opened, and one that does not is refused: it would run at chance.

What is scored without a contrast is exact. A contrast (`kgt.lm.base.Contrast`) needs whole next-token
distributions, of which a server gives only the likeliest tokens: it is approximated on those.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from kgt.errors import BadInput, ModelError, NotFound
from kgt.lm.base import Contrast, Message, Prompt, Request, Scored
from kgt.lm.decoding import COLDEST, Decoder, draw, streamed
from kgt.lm.listed import Place, Top, after, scored, spread, suffix
from kgt.lm.server import Refused, Server
from kgt.lm.template import ChatTemplate
from kgt.lm.tokens import check_continuation

LIKELIEST = (100, 20, 5)
"""How many of the likeliest tokens are asked for, the first that the server takes (vLLM: --max-logprobs)."""
PER_CALL = 32
"""Most prompts in one request, where the server takes a list."""
AT_ONCE = 8
"""Requests under way at a time."""
PROBE, PROBED = "The capital of France is", 4
"""What a server is tried with, and how many tokens it generates; these must score alike as a prompt."""
AGREE = 0.5
"""Most difference, in nats, of a token's log-probability as generated and as prompt: other batches round otherwise."""

_NEUTRAL = {
    "top_p": 1.0,
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repeat_penalty": 1.0,  # llama-cpp-python's name
    "repetition_penalty": 1.0,  # vLLM's and SGLang's
    "add_special_tokens": False,  # vLLM's: what the chat template wrote is enough
}
CAPABLE = "vLLM, SGLang and llama-cpp-python's server (with --logits_all true) can; see docs/guide/backends.md."
_END = re.compile(r"</?s>|<eos>|<end_of_turn>|<\|[^|]+\|>|<｜[^｜]+｜>|.*\ufffd.*|", re.DOTALL)
"""How tokens look that end a turn (llama-cpp-python shows them as nothing), or hold a part of a character."""


class _Choice(NamedTuple):
    """What a server answered to one prompt: places, those of the prompt first if echoed; how many were generated."""

    places: list[Place]
    text: str
    ended: bool
    generated: int


class RemoteModel:
    """A server's model; see `kgt.lm.base.LanguageModel` for the meaning of its methods.

    Args:
        name: "http://host:8000/v1#model"; without "#model" the server's only one.
        template: the model's chat format; None asks the server (vLLM's /tokenize and /detokenize).
        api_key: sent as a bearer token.

    Raises:
        ModelError: the server is not there, or cannot score.
        NotFound: it does not have the model.
    """

    def __init__(self, name: str, *, template: ChatTemplate | None = None, api_key: str = "") -> None:
        address, _, model = name.partition("#")
        if "@" in address.split("//", 1)[-1].split("/", 1)[0]:
            raise BadInput(
                "The server's address holds a password; it would be kept with every edit.", "Set KGT_API_KEY."
            )
        self._server = Server(address, api_key)
        self._template = template
        self._model = self._found(model)
        self.name = f"{self._server.address}#{self._model}"
        self._ends: set[str] = set()
        self._lead = ""
        self._likeliest = 0
        self._takes_lists = False
        self._formatted = lru_cache(1024)(self._ask_for_format)
        self._probe()

    # -- the interface -----------------------------------------------------------------------------

    def chat(self, messages: Sequence[Message], prefill: str = "") -> str:
        if self._template:
            return self._template.prompt(messages, prefill)
        return self._formatted(tuple((m["role"], m["content"]) for m in messages)) + prefill

    def count(self, text: str) -> None:
        return None

    def logprobs(self, requests: Sequence[Request]) -> list[list[Scored]]:
        pairs = [
            (prompt, continuation)
            for request in requests
            for continuation in request.continuations
            for prompt in (request.prompt, *([request.contrast.without] if request.contrast else []))
        ]
        for _, continuation in pairs:
            check_continuation(continuation)
        distinct = list(dict.fromkeys(pairs))
        places = dict(zip(distinct, self._continuations(distinct), strict=True))
        return [
            [
                scored(
                    places[request.prompt, continuation],
                    places[request.contrast.without, continuation] if request.contrast else None,
                    request.contrast,
                    self._likeliest,
                )
                for continuation in request.continuations
            ]
            for request in requests
        ]

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 64,
        stop: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int | None = None,
        contrast: Contrast | None = None,
    ) -> Iterator[str]:
        if contrast is None:
            return streamed(self._streaming(prompt, max_tokens, stop, temperature, seed), stop)
        rng = np.random.default_rng(seed)
        text = _Text(Prompt(prompt, contrast))
        steps = self._grown([text], max_tokens, rng, temperature=temperature, top_k=0)
        return streamed((text.said for _ in steps), stop)

    def generate_many(
        self, prompts: Sequence[Prompt], *, max_tokens: int, top_k: int = 1, seed: int | None = None
    ) -> list[str]:
        texts = [_Text(prompt) for prompt in prompts]
        plain = [text for text in texts if not text.contrasted]
        options = {} if top_k == 1 else {"temperature": 1.0, "top_k": top_k, "seed": seed}
        for text, choice in zip(
            plain, self._complete([t.prompts[0] for t in plain], max_tokens, **options), strict=True
        ):
            text.said = choice.text
        contrasted = [text for text in texts if text.contrasted]
        for _ in self._grown(contrasted, max_tokens, np.random.default_rng(seed), temperature=1.0, top_k=top_k):
            pass
        return [text.said for text in texts]

    # -- scoring -----------------------------------------------------------------------------------

    def _continuations(self, pairs: Sequence[tuple[str, str]]) -> list[list[Place]]:
        """The places of each continuation's tokens after its prompt."""
        whole = self._echoed([prompt + continuation for prompt, continuation in pairs])
        found = [suffix(places, continuation) for places, (_, continuation) in zip(whole, pairs, strict=True)]
        unclear = list(dict.fromkeys(prompt for (prompt, _), places in zip(pairs, found, strict=True) if not places))
        heads = dict(zip(unclear, self._echoed(unclear), strict=True))
        found = [
            places or after(heads[prompt], everything)
            for (prompt, _), places, everything in zip(pairs, found, whole, strict=True)
        ]
        if any(math.isnan(places[0].logprob) for places in found):
            raise BadInput("A prompt to score after is empty.", "Give at least one token of it.")
        return found

    def _echoed(self, texts: Sequence[str]) -> list[list[Place]]:
        """The places of each text's own tokens."""
        choices = self._complete(texts, 1, logprobs=self._likeliest, echo=True)
        return [choice.places[: len(choice.places) - choice.generated] for choice in choices]

    # -- generating --------------------------------------------------------------------------------

    def _streaming(
        self, prompt: str, max_tokens: int, stop: Sequence[str], temperature: float, seed: int | None
    ) -> Iterator[str]:
        """The text after the prompt, whole after each event."""
        warmth = temperature if temperature >= COLDEST else 0.0
        body = self._body([prompt], max_tokens, temperature=warmth, stream=True)
        text = ""
        for event in self._server.events("completions", body | {"stop": list(stop) or None, "seed": seed}):
            for choice in _choices(event, self._server.address):
                text += choice.get("text") or ""
                yield text

    def _grown(
        self, texts: Sequence[_Text], max_tokens: int, rng: np.random.Generator, *, temperature: float, top_k: int
    ) -> Iterator[None]:
        """Grow contrasted texts by a token each a step, a request for each, until all have ended."""
        running = list(texts)
        for _ in range(max_tokens):
            if not running:
                return
            prompts = [before + text.said for text in running for before in text.prompts]
            choices = iter(self._complete(prompts, 1, logprobs=self._likeliest))
            going = []
            for text in running:
                tokens, logp, without = spread(self._next(next(choices)), self._next(next(choices)))
                chosen = draw(text.decoder.distribution(logp, without), rng, temperature=temperature, top_k=top_k)
                if tokens[chosen] not in self._ends and not _END.fullmatch(tokens[chosen]):
                    text.decoder.said(chosen, logp, without)
                    text.said += tokens[chosen]
                    going.append(text)
            running = going
            yield

    def _next(self, choice: _Choice) -> Top:
        """The likeliest next tokens; where the server ended without saying which, only the end."""
        if not choice.places:
            return {"": 0.0}
        place = choice.places[-1]
        if choice.ended and not choice.text:
            self._ends.add(place.token)
        return place.top

    # -- the server --------------------------------------------------------------------------------

    def _complete(self, prompts: Sequence[str], max_tokens: int, **options: Any) -> list[_Choice]:
        """The server's answers to prompts, in as few requests as it allows."""
        size = PER_CALL if self._takes_lists else 1
        groups = [prompts[at : at + size] for at in range(0, len(prompts), size)]
        if len(groups) < 2:
            return [choice for group in groups for choice in self._call(group, max_tokens, **options)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = pool.map(lambda group: self._call(group, max_tokens, **options), groups)
            return [choice for choices in found for choice in choices]

    def _call(self, prompts: Sequence[str], max_tokens: int, attempts: int = 5, **options: Any) -> list[_Choice]:
        answer = self._server.post("completions", self._body(prompts, max_tokens, **options), attempts=attempts)
        choices = _choices(answer, self._server.address)
        if len(choices) != len(prompts):
            raise ModelError(
                f"{self._server.address} gave {len(choices)} answers to {len(prompts)} prompts.", "Try another server."
            )
        usage = answer.get("usage") or {}
        counted = usage.get("completion_tokens") if len(prompts) == 1 else None
        in_order = sorted(choices, key=lambda choice: choice.get("index", 0))
        return [_parsed(choice, max_tokens if counted is None else counted) for choice in in_order]

    def _body(self, prompts: Sequence[str], max_tokens: int, **options: Any) -> dict[str, Any]:
        sent = [text if text.startswith(self._lead) else self._lead + text for text in prompts]
        body = {"model": self._model, "prompt": sent[0] if len(sent) == 1 else sent, "max_tokens": max_tokens}
        return body | {"temperature": 0.0} | _NEUTRAL | options

    def _found(self, model: str) -> str:
        """The model's name as the server has it."""
        try:
            known = [str(one["id"]) for one in self._server.get("models")["data"]]
        except Refused as error:
            if error.status not in (404, 405) or not model:
                raise
            return model  # a server without a list of its models; the probe will tell
        except (KeyError, TypeError) as error:
            raise _strange(self._server.address, "a list of models") from error
        if model in known:
            return model
        listed = ", ".join(known[:10]) or "none"
        if model:
            raise NotFound(f"{self._server.address} has no model {model!r}.", f"It has: {listed}.")
        if len(known) != 1:
            raise NotFound(
                f"{self._server.address} has not one model but: {listed}.", f"Write {self._server.address}#NAME."
            )
        return known[0]

    def _ask_for_format(self, turns: tuple[tuple[str, str], ...]) -> str:
        messages = [{"role": role, "content": content} for role, content in turns]
        asked = {"model": self._model, "messages": messages, "add_generation_prompt": True, "add_special_tokens": False}
        try:
            tokens = self._server.post("/tokenize", asked)["tokens"]
            return str(self._server.post("/detokenize", {"model": self._model, "tokens": tokens})["prompt"])
        except (Refused, KeyError, TypeError) as error:
            if isinstance(error, Refused) and error.status >= 500:
                raise
            raise ModelError(
                f"{self._server.address} does not tell how the model's conversations are written.",
                "Set KGT_TOKENIZER to a folder, .gguf file or hub name with the model's chat template,"
                " or to `plain` if it has none.",
            ) from error

    # -- what the server is tried with -------------------------------------------------------------

    def _probe(self) -> None:
        """Find out how the server is used, and that it scores a prompt as it generates it.

        Raises:
            ModelError: it does not.
        """
        self._likeliest = self._most_likeliest()
        wrong = self._wrong_scores()
        if wrong and self._template:
            # llama-cpp-python pairs a prompt's tokens with the right distributions only after a BOS token
            self._lead = self._template.specials.get("bos_token", "")
            wrong = self._wrong_scores()
        if wrong:
            raise ModelError(f"{self._server.address} {wrong}.", CAPABLE)
        self._takes_lists = self._answers_lists()
        if not self._template:
            self.chat([{"role": "user", "content": "Hi"}])

    def _most_likeliest(self) -> int:
        for k in LIKELIEST:
            try:
                (choice,) = self._complete([PROBE], 1, logprobs=k)
            except Refused as error:
                if error.status in (400, 422) and k != LIKELIEST[-1]:
                    continue
                raise
            if not choice.places or len(choice.places[0].top) < 2:
                break
            return k
        raise ModelError(f"{self._server.address} gives no log-probabilities.", CAPABLE)

    def _wrong_scores(self) -> str:
        """What is wrong with how the server scores words that it generated itself; "" if nothing."""
        (choice,) = self._complete([PROBE], PROBED, logprobs=self._likeliest)
        (places,) = self._echoed([PROBE + choice.text])
        if not places:
            return "ignores `echo`: it does not score its prompt"
        if len({round(place.logprob, 6) for place in places if not math.isnan(place.logprob)}) < 2:
            return "gives every token the same log-probability"
        pairs = zip(choice.places, suffix(places, choice.text), strict=False)
        alike = takewhile(lambda pair: pair[0].token == pair[1].token, pairs)  # text may split otherwise than it grew
        differences = [abs(generated.logprob - prompt.logprob) for generated, prompt in alike]
        if differences and max(differences) < AGREE:
            return ""
        return "gives wrong log-probabilities for a prompt: the same words have others when it generates them"

    def _answers_lists(self) -> bool:
        try:
            return len(self._call([PROBE, PROBE], 1, attempts=2)) == 2
        except (ModelError, BadInput):
            return False


class _Text:
    """A text that grows: its prompts, and what was said so far."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompts = (prompt.text, *([prompt.contrast.without] if prompt.contrast else []))
        self.contrasted = prompt.contrast is not None
        self.decoder = Decoder(prompt.contrast)
        self.said = ""


def _choices(answer: Any, address: str) -> list[dict[str, Any]]:
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise _strange(address, "choices")
    return choices


def _parsed(choice: dict[str, Any], generated: int) -> _Choice:
    found = choice.get("logprobs") or {}
    try:
        places = [
            Place(str(token), math.nan if logprob is None else float(logprob), dict(top or {}))
            for token, logprob, top in zip(
                found.get("tokens") or [],
                found.get("token_logprobs") or [],
                found.get("top_logprobs") or [],
                strict=True,
            )
        ]
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError("The server's log-probabilities are not in the OpenAI form.", CAPABLE) from error
    return _Choice(places, str(choice.get("text") or ""), choice.get("finish_reason") == "stop", generated)


def _strange(address: str, what: str) -> ModelError:
    return ModelError(f"{address} answered without {what}.", "Check the address: it ends in /v1.")
