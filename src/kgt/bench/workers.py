"""The same work in several processes, or on several machines with Ray.

A task gets everything it needs and returns everything it found; only the caller writes files. So
it does not matter where tasks run, nor in which order they come back.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kgt.bench.case import Case
from kgt.bench.measure import Evaluation, evaluate, learn
from kgt.bench.remember import RememberingModel
from kgt.bench.spec import Spec
from kgt.editors import EditReport, Parts, load_editor
from kgt.errors import BadInput
from kgt.lm import load_model
from kgt.lm.encoder import bundled_encoder
from kgt.settings import Settings

Engine = Literal["processes", "ray"]
Map = Callable[[Callable[..., Any], Sequence[tuple[Any, ...]]], Iterator[Any]]


class Setup(NamedTuple):
    """How a worker gets its model."""

    settings: Settings
    spec: Spec
    threads: int


_parts: Parts | None = None
"""A worker's own model and encoder, loaded once."""


@contextmanager
def pool(engine: Engine, workers: int, setup: Setup) -> Iterator[Map]:
    """Workers, and a function that maps a task over arguments and yields results as they come.

    Raises:
        BadInput: Ray is asked for and not installed.
    """
    if engine == "ray":
        with _ray(workers, setup) as mapped:
            yield mapped
        return
    # A GNU OpenMP thread that waits for work spins; with several processes on the same cores that
    # costs more than the work (README, "Several processes").
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=start, initargs=(setup,)) as processes:

        def mapped(task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
            futures = [processes.submit(task, *a) for a in arguments]
            try:
                for future in as_completed(futures):
                    yield future.result()
            finally:
                for future in futures:
                    future.cancel()

        yield mapped


def start(setup: Setup) -> None:
    """Load this worker's model."""
    global _parts
    import torch

    torch.set_num_threads(setup.threads)
    s = setup.settings
    model = RememberingModel(load_model(s.model, Path(s.cache), **s.loading, editable=True))
    spec = setup.spec
    _parts = Parts(model, bundled_encoder(), None, spec.ablation, Path(s.cache), spec.hparams, spec.corpus)


def edit_task(method: str, cases: Sequence[Case]) -> list[tuple[Case, EditReport]]:
    """Make the edits of some subjects, all of each subject's, in a graph of their own."""
    assert _parts is not None
    editor = load_editor(method, _parts)
    try:
        return [(case, learn(editor, case)) for case in cases]
    finally:
        editor.close()


def evaluate_task(
    method: str, made: bytes | Sequence[Case], cases: Sequence[Case], how: Evaluation
) -> list[dict[str, Any]]:
    """Evaluate cases on all edits: given as a graph's file, or as the cases to learn again."""
    assert _parts is not None
    with tempfile.TemporaryDirectory() as folder:
        graph = None
        if isinstance(made, bytes):
            graph = Path(folder) / "graph.db"
            graph.write_bytes(made)
        editor = load_editor(method, replace(_parts, graph=graph))
        try:
            if not isinstance(made, bytes):
                for case in made:
                    learn(editor, case)
            return evaluate(editor, cases, how)
        finally:
            editor.close()


def single_task(method: str, case: Case, how: Evaluation) -> tuple[Case, EditReport, dict[str, Any]]:
    """One case alone: edit, evaluate, forget."""
    assert _parts is not None
    editor = load_editor(method, _parts)
    try:
        report = learn(editor, case)
        return case, report, evaluate(editor, [case], how)[0]
    finally:
        editor.close()


@contextmanager
def _ray(workers: int, setup: Setup) -> Iterator[Map]:
    try:
        import ray
    except ImportError as error:
        raise BadInput("Ray is not installed.", 'pip install "kgt[ray]", or leave out --engine ray.') from error
    started_here = not ray.is_initialized()
    if started_here:
        # RAY_ADDRESS names a cluster; without it a local one is started for this run.
        address = os.environ.get("RAY_ADDRESS")
        here = {} if address else {"num_cpus": workers, "include_dashboard": False}
        ray.init(address=address, log_to_driver=False, **here)

    class Worker:
        def __init__(self, setup: Setup) -> None:
            start(setup)

        def run(self, task: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
            return task(*arguments)

    remote = ray.remote(num_cpus=1)(Worker)
    actors = ray.util.ActorPool([remote.remote(setup) for _ in range(workers)])

    def mapped(task: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        yield from actors.map_unordered(lambda actor, a: actor.run.remote(task, a), arguments)

    try:
        yield mapped
    finally:
        if started_here:
            ray.shutdown()
