"""How much the model does for one edit and one answer: counts, the same on every machine."""

from __future__ import annotations

import pytest
import torch

from kgt import Assistant, GraphStore
from kgt.bench.work import counted
from kgt.lm import Request
from kgt.lm.packing import STEP
from kgt.lm.torch_model import TorchModel
from kgt.method.tune import TuneSettings


@pytest.fixture
def fresh(model: TorchModel) -> TorchModel:
    """The model as if nothing had been asked before."""
    model.prefixes.clear()
    return model


LONG = "the biology of the larger animals that live on the ground of the cold seas around Greenland and Iceland"


def learnt(me: Assistant, subject: str, object: str) -> None:
    me.teach(f"The mother tongue of {subject} is", object, subject=subject, object=object)


def test_an_edit_is_one_pass_over_what_is_new(fresh: TorchModel, store: GraphStore) -> None:
    me = Assistant("ana", model=fresh, store=store)
    with counted(fresh) as first:
        learnt(me, "Danielle Darrieux", "English")
    with counted(fresh) as second:
        learnt(me, "Victor Hugo", "German")
    assert (first.passes, second.passes) == (1, 1)
    assert first.scored <= 100
    assert second.scored <= 36  # the templates' words are known
    assert second.padded == -(-second.scored // STEP) * STEP


def test_an_edit_that_has_the_model_guess_relations_takes_three(fresh: TorchModel, store: GraphStore) -> None:
    me = Assistant("ana", model=fresh, store=store, tuning=TuneSettings(epsilon=-1.0))
    learnt(me, "Danielle Darrieux", "English")
    with counted(fresh) as work:
        learnt(me, "Victor Hugo", "German")
    assert work.passes <= 3
    assert work.scored <= 100


def test_an_answer_after_an_edit_reads_little_more_than_the_question(fresh: TorchModel, store: GraphStore) -> None:
    me = Assistant("ana", model=fresh, store=store)
    learnt(me, "Danielle Darrieux", "English")
    with counted(fresh) as work:
        me.ask("Danielle Darrieux natively speaks", subject="Danielle Darrieux", max_tokens=1)
    assert work.passes == 1
    assert work.scored <= 16


@pytest.mark.parametrize("epsilon", [1.5, -1.0], ids=["as stated", "with guessed relations"])
@pytest.mark.parametrize("query", ["What is my research field?", f"What do I work on, if it is not {LONG}?"])
def test_an_answer_that_no_fact_concerns_is_read_alike_when_asked_again(
    fresh: TorchModel, store: GraphStore, query: str, epsilon: float
) -> None:
    tuning = TuneSettings(epsilon=epsilon)
    ana, ben = (Assistant(user, model=fresh, store=store, tuning=tuning) for user in ("ana", "ben"))
    ben.ask("Who wrote Faust?", max_tokens=1)  # from here on the template's words are known
    scored = []
    for _ in range(3):
        with counted(fresh) as work:
            ben.ask(query, max_tokens=1)
        scored.append(work.scored)
        ana.teach(query, LONG)
    assert len(set(scored)) == 1  # in bfloat16 another way of reading may end in other words


def test_it_is_the_same_to_the_last_bit_whatever_was_read_in_between(fresh: TorchModel) -> None:
    def read() -> torch.Tensor:
        prompt = fresh.encode(fresh.chat([{"role": "user", "content": "Where does my sister live?"}]))
        return fresh.read([prompt], plain=[prompt])[0]

    first = read()
    for i in range(40):  # more than is kept
        asked = fresh.chat([{"role": "user", "content": f"{i} Where does my sister live? {LONG}"}])
        fresh.logprobs([Request(asked, (" In Lisbon", " On the coast"))])
        if i == 0:
            assert torch.equal(read(), first)
    assert torch.equal(read(), first)
    fresh.prefixes.clear()
    fresh.logprobs([Request(asked, (" In Lisbon",))])  # what it begins with is read beside other tokens
    assert torch.equal(read(), first)


def test_algorithm_1_asks_the_model_nothing(fresh: TorchModel, store: GraphStore) -> None:
    me = Assistant("ana", model=fresh, store=store, tuning=TuneSettings(epsilon=-1.0))
    for object in ("French", "English", "German", "Dutch"):  # ever more steps to choose from
        with counted(fresh) as work:
            learnt(me, "Danielle Darrieux", object)
        assert work.passes <= 3
