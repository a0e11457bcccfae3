"""Editors whose update a trained network makes: MEND and KnowledgeEditor, and how they are trained."""

from __future__ import annotations

import json
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import nn

from kgt.editors.base import EditRequest
from kgt.editors.low_rank import Factors, changed_by, commit, gradients
from kgt.editors.network import Network, Tail
from kgt.editors.weights import WeightEditor, finite
from kgt.errors import BadInput
from kgt.lm.tokens import Tokens

Row = tuple[Tokens, Tokens]
"""Tokens of a prompt and of what is to follow it."""


class HyperNetwork(nn.Module, ABC):
    """Maps gradients to updates."""

    @abstractmethod
    def forward(self, gradients: Sequence[Factors], condition: Sequence[Sequence[int]]) -> list[Factors]:
        """The changes of the matrices, each row's own.

        Args:
            gradients: of each matrix.
            condition: each row's prompt and target, as tokens.
        """

    @abstractmethod
    def groups(self, settings: Any) -> list[dict[str, Any]]:
        """Parameter groups for the optimiser."""


class HyperEditor(WeightEditor):
    """Edits with a trained network.

    Args:
        name: as given on the command line.
        last_layers: how many of the last layers' MLPs are edited.
        build: makes the network for the matrices.
        weights: the file that training wrote; None for an untrained network, as training starts from.

    Raises:
        BadInput: the file is of another model or method.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        last_layers: int,
        build: Callable[[Sequence[Any]], HyperNetwork],
        weights: Path | None = None,
    ) -> None:
        self.first_layer = max(0, network.depth - last_layers)
        parts = [*network.names.mlp_in, network.names.mlp_out]
        layers = range(self.first_layer, network.depth)
        super().__init__(network, [network.matrix(layer, part) for layer in layers for part in parts])
        self.name = name
        torch.manual_seed(0)
        self.hyper = build(self.matrices).to(network.embedding().device).eval()
        if weights:
            try:
                self.hyper.load_state_dict(torch.load(weights, weights_only=True))
            except RuntimeError as error:
                raise BadInput(
                    f"{weights} was trained for another model.",
                    f"Run `kgt train-editor --method {name}` for this one.",
                ) from error

    def learn(self, prompt: Tokens, target: Tokens, request: EditRequest) -> None:
        with torch.no_grad():
            commit(self.matrices, self.changes([(prompt, target)]))

    def changes(self, rows: Sequence[Row]) -> list[Factors]:
        """Each row's update of the matrices."""
        return self.hyper(gradients(self.tail(rows), self.matrices), [p + t for p, t in rows])  # type: ignore[no-any-return]

    def tail(self, rows: Sequence[Row]) -> Tail:
        return self.network.below(self.network.rows(rows), self.first_layer)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One training record.

    Attributes:
        edit: what is taught.
        again: the same in other words, where it must hold too.
        other: a question that must be answered as before, with its answer.
    """

    edit: Row
    again: Row
    other: Row


@dataclass(slots=True)
class Progress:
    """Where a training stands; stored beside the weights, so that it goes on after a kill."""

    step: int = 0
    best: float = float("inf")
    best_step: int = 0
    seconds: float = 0.0
    curve: list[dict[str, float]] = field(default_factory=list)


def train(
    editor: HyperEditor,
    lessons: Sequence[Lesson],
    held_out: Sequence[Lesson],
    settings: Any,
    file: Path,
    *,
    minutes: float,
    patience: int,
    every: int,
    report: Callable[[Progress], None],
) -> Progress:
    """Train an editor's network; the best on the held-out lessons is kept in `file`.

    Args:
        settings: the method's: lr, c_edit, c_loc, batch.
        minutes: most time, over all runs.
        patience: steps without a better held-out loss after which it ends.
        every: steps between two looks at the held-out lessons.
        report: told after each look.

    Raises:
        BadInput: the loss is not a number; the best so far is kept.
    """
    state_file = file.with_suffix(".state")
    optimiser = torch.optim.Adam(editor.hyper.groups(settings))
    progress = Progress()
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        editor.hyper.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        progress = Progress(**state["progress"])
    draw = random.Random(progress.step)
    started = perf_counter() - progress.seconds
    while progress.seconds < 60 * minutes and progress.step - progress.best_step <= patience:
        if progress.step % every == 0:
            _look(editor, held_out, settings, progress, file)
            progress.seconds = perf_counter() - started
            _keep(state_file, editor, optimiser, progress)
            report(progress)
        editor.hyper.train()
        loss = finite(lesson_loss(editor, draw.sample(lessons, min(settings.batch, len(lessons))), settings)[0])
        editor.hyper.eval()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(editor.hyper.parameters(), 100.0)
        optimiser.step()
        progress.step += 1
        progress.seconds = perf_counter() - started
    _look(editor, held_out, settings, progress, file)
    _keep(state_file, editor, optimiser, progress)
    report(progress)
    return progress


def lesson_loss(editor: HyperEditor, lessons: Sequence[Lesson], settings: Any) -> tuple[torch.Tensor, float, float]:
    """c_edit · −log P(target | the edit, and in other words) + c_loc · KL of other answers; and the two parts."""
    changes = editor.changes([lesson.edit for lesson in lessons])
    other = editor.tail([lesson.other for lesson in lessons])
    with torch.no_grad():
        before = other.logits().log_softmax(-1)
    with changed_by(editor.matrices, changes):
        edit = (editor.tail([x.edit for x in lessons]).loss() + editor.tail([x.again for x in lessons]).loss()) / 2
        after = other.logits().log_softmax(-1)
    drift = (before.exp() * (before - after)).sum(-1).mean()
    return settings.c_edit * edit + settings.c_loc * drift, float(edit.detach()), float(drift.detach())


@torch.no_grad()
def _look(editor: HyperEditor, held_out: Sequence[Lesson], settings: Any, progress: Progress, file: Path) -> None:
    """Measure the held-out lessons, and keep the network if it is the best so far."""
    size = settings.batch
    parts = [lesson_loss(editor, held_out[i : i + size], settings) for i in range(0, len(held_out), size)]
    loss, edit, drift = (sum(float(p[i]) for p in parts) / len(parts) for i in range(3))
    progress.curve.append({"step": progress.step, "loss": loss, "edit": edit, "drift": drift})
    if loss < progress.best:
        progress.best, progress.best_step = loss, progress.step
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        torch.save(editor.hyper.state_dict(), part)
        part.replace(file)


def _keep(path: Path, editor: HyperEditor, optimiser: torch.optim.Optimizer, progress: Progress) -> None:
    part = path.with_suffix(".state-part")
    fields = {name: getattr(progress, name) for name in Progress.__dataclass_fields__}
    torch.save({"network": editor.hyper.state_dict(), "optimiser": optimiser.state_dict(), "progress": fields}, part)
    part.replace(path)
    path.with_suffix(".curve.json").write_text(json.dumps(progress.curve, indent=1) + "\n", encoding="utf-8")
