"""The story `kgt demo` tells: one user teaches the real model a few facts, and each promise is checked."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kgt.settings import Settings
from kgt.terminal import show_edit, waiting

if TYPE_CHECKING:
    from kgt.assistant import Assistant

LONGEST_ANSWER = 20
"""Tokens an answer: enough to see what is said."""
GLIMPSE = 12
"""Tokens of an answer that is only compared with itself."""
ELSEWHERE = "What is the capital of France?"
"""A question about none of the user's entities."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A question, its correction, a rephrasing, and a question about the same entity that must not change.

    `beginning` starts a sentence that `object` ends: P(a|q) is read off there.
    """

    query: str
    feedback: str
    beginning: str
    object: str
    rephrased: str
    unrelated: str


SCENES = (
    Scene(
        "What does my dog eat?",
        "No, my dog is vegetarian.",
        "My dog is",
        "vegetarian",
        "What should I feed my dog?",
        "Where does my dog sleep?",
    ),
    Scene(
        "Where does my sister live?",
        "My sister lives in Lisbon.",
        "My sister lives in",
        "Lisbon",
        "In which city is my sister's home?",
        "What is my sister's job?",
    ),
    Scene(
        "What is my research field?",
        "marine biology",
        "My research field is",
        "marine biology",
        "What do I study?",
        "Where do I live?",
    ),
    Scene(
        "When does my office open?",
        "It opens at 7 am.",
        "My office opens at",
        "7 am",
        "What time can I get into my office?",
        "Who works in my office?",
    ),
)


@dataclass(slots=True)
class Outcome:
    """What was measured of one scene: P(object|query) and whether each promise held."""

    scene: Scene
    before: str
    taught: tuple[float, float]
    rephrased: tuple[float, float]
    answers: bool
    answers_rephrased: bool
    unrelated_same: bool
    other_user_same: bool
    undone: bool = False

    @property
    def held(self) -> bool:
        personalised = self.answers and self.answers_rephrased
        rose = self.taught[1] > self.taught[0] and self.rephrased[1] > self.rephrased[0]
        return personalised and rose and self.unrelated_same and self.other_user_same and self.undone


def run(console: Console, settings: Settings) -> int:
    """Tell the story on the model of the settings and a graph of its own; 0 if every promise held, else 1."""
    from kgt.assistant import Assistant
    from kgt.graph import GraphStore

    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kgt-demo-") as folder, GraphStore.open(Path(folder) / "graph.db") as store:
        ana = Assistant("ana", store=store, settings=replace(settings, user="ana", max_tokens=LONGEST_ANSWER))
        with waiting(console, "Loading the model (the first time about 20 s)"):
            name = ana.model.name
            if ana.encoder:
                ana.encoder.load()
        ben = ana.as_user("ben")
        console.print(
            f"[bold]KGT[/bold] on {escape(name)}: ana teaches it about her life; ben, beside her, teaches nothing."
        )
        elsewhere = _shown(console, "ana", ELSEWHERE, ana.ask(ELSEWHERE).text)
        outcomes = [_play(console, number, scene, ana, ben) for number, scene in enumerate(SCENES, 1)]
        console.print()
        console.rule("What must not have changed; then ana undoes it all", align="left")
        elsewhere_same = _shown(console, "ana", ELSEWHERE, ana.ask(ELSEWHERE).text) == elsewhere
        _undo_all(console, ana, outcomes)
    _summary(console, outcomes, elsewhere_same, time.perf_counter() - started)
    return 0 if elsewhere_same and all(outcome.held for outcome in outcomes) else 1


def _play(console: Console, number: int, scene: Scene, ana: Assistant, ben: Assistant) -> Outcome:
    """Ask, correct, ask again, rephrase, ask something else, and let the other user ask."""
    console.print()
    console.rule(f"{number}. ana corrects an answer", align="left")
    before = ana.ask(scene.query).text
    unrelated = ana.ask(scene.unrelated, max_tokens=GLIMPSE).text
    likely = {query: _probability(ana, query, scene) for query in (scene.query, scene.rephrased)}
    _shown(console, "ana", scene.query, before)
    console.print(f"[bold cyan]ana[/]  {escape(scene.feedback)}")
    show_edit(console, ana.teach(scene.query, scene.feedback))
    after = {q: _shown(console, "ana", q, ana.ask(q).text) for q in (scene.query, scene.rephrased)}
    other = _shown(console, "ana", scene.unrelated, ana.ask(scene.unrelated, max_tokens=GLIMPSE).text)
    other_user = _shown(console, "ben", scene.query, ben.ask(scene.query).text)
    return Outcome(
        scene,
        before=before,
        taught=(likely[scene.query], _probability(ana, scene.query, scene)),
        rephrased=(likely[scene.rephrased], _probability(ana, scene.rephrased, scene)),
        answers=_names(after[scene.query], scene.object),
        answers_rephrased=_names(after[scene.rephrased], scene.object),
        unrelated_same=other == unrelated,
        other_user_same=other_user == before,
    )


def _undo_all(console: Console, ana: Assistant, outcomes: list[Outcome]) -> None:
    for _ in outcomes:
        show_edit(console, ana.undo())
    for outcome in outcomes:
        answer = _shown(console, "ana", outcome.scene.query, ana.ask(outcome.scene.query).text)
        outcome.undone = answer == outcome.before


def _summary(console: Console, outcomes: list[Outcome], elsewhere_same: bool, seconds: float) -> None:
    table = Table(title="What was promised, and what was measured", title_justify="left", box=SIMPLE_HEAD, padding=0)
    table.add_column("fact")
    for column in ("P told", "P reworded"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("told", "reworded", "other", "ben", "undo"):
        table.add_column(column, justify="center")
    for o in outcomes:
        promises = (o.answers, o.answers_rephrased, o.unrelated_same, o.other_user_same, o.undone)
        table.add_row(
            escape(o.scene.object),
            "{:.2f} → {:.2f}".format(*o.taught),
            "{:.2f} → {:.2f}".format(*o.rephrased),
            *map(_yes_no, promises),
        )
    console.print()
    console.print(table)
    console.print(
        "told, reworded: the answer names the fact; other: another question about the\n"
        "entity is answered as before; ben: so is the other user; undo: as at first.",
        style="dim",
    )
    console.print(f"{ELSEWHERE} answered as before: {_yes_no(elsewhere_same)}   ({seconds:.0f} s)")


def _probability(assistant: Assistant, query: str, scene: Scene) -> float:
    return assistant.score_answers(query, [scene.object], beginning=scene.beginning)[0].probability


def _shown(console: Console, user: str, query: str, answer: str) -> str:
    console.print(f"[bold cyan]{user}[/]  {escape(query)}\n     [dim]→[/] {escape(' '.join(answer.split()))}")
    return answer


def _names(answer: str, wanted: str) -> bool:
    return wanted.casefold() in answer.casefold()


def _yes_no(held: bool) -> str:
    return "[green]yes[/]" if held else "[bold red]NO[/]"
