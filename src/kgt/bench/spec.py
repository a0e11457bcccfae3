"""What a run measures, and the manifest that says how its numbers came about."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from kgt import __version__
from kgt.bench.datasets.files import sha256
from kgt.editors import Ablation
from kgt.errors import BadInput

Protocol = Literal["sequential", "single"]
"""Every pair once without reset, then evaluate all (the paper's); or reset after each pair (ROME's)."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A run.

    Attributes:
        n: cases, drawn with the seed; None is all.
        sample: of these, how many are asked more than the taught query; None is all.
        fluency: for how many of those texts are generated (GE, RS).
        hparams, corpus: files of the weight editors (`kgt.editors.Parts`).
    """

    dataset: str
    n: int | None = None
    seed: int = 0
    protocol: Protocol = "sequential"
    model: str = ""
    methods: tuple[str, ...] = ("kgt", "klamp", "no_edit")
    sample: int | None = None
    fluency: int = 0
    ablation: Ablation = field(default_factory=Ablation)
    hparams: Path | None = None
    corpus: Path | None = None

    def options(self) -> dict[str, Any]:
        """Everything but data set, n, seed, protocol, model and methods."""
        files = {"hparams": self.hparams, "corpus": self.corpus}
        given = {name: sha256([path]) for name, path in files.items() if path}
        return {"sample": self.sample, "fluency": self.fluency, **asdict(self.ablation), **given}

    def as_json(self) -> dict[str, Any]:
        return {
            "dataset": self.dataset,
            "n": self.n,
            "seed": self.seed,
            "protocol": self.protocol,
            "model": self.model,
            "methods": list(self.methods),
            "options": self.options(),
        }


def open_manifest(out: Path, spec: Spec, **facts: Any) -> dict[str, Any]:
    """Begin a run's folder, or go on with it: the same run with other methods adds to it.

    Raises:
        BadInput: the folder holds a run of another command, or is no run's folder at all.
    """
    path = out / "manifest.json"
    fresh = {
        "kgt": __version__,
        **facts,
        "spec": spec.as_json(),
        "versions": _versions(),
        "machine": _machine(),
        "started": _now(),
        "finished": None,
    }
    if not path.exists():
        if out.exists() and any(out.iterdir()):
            raise BadInput(f"{out} is not empty and holds no run.", "Give another folder with --out.")
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, fresh)
        return fresh
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        there, wanted = dict(manifest["spec"]), spec.as_json()
        methods = list(dict.fromkeys([*there.pop("methods"), *wanted.pop("methods")]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path} is damaged: {error!r}.", "Give another folder with --out.") from error
    differs = [k for k in wanted if there.get(k) != wanted[k]]
    differs += [k for k in ("data_sha256", "model_sha256") if manifest.get(k) != fresh.get(k)]
    if differs:
        raise BadInput(
            f"{out} holds a run of another command, which differs in {', '.join(differs)}: {manifest['command']}",
            "Give another folder with --out, or repeat that command to go on with it.",
        )
    manifest["spec"]["methods"] = methods
    manifest["finished"] = None
    write_json(path, manifest)
    return manifest


def close_manifest(out: Path, manifest: dict[str, Any]) -> None:
    """Note that the run is complete."""
    write_json(out / "manifest.json", manifest | {"finished": _now()})


def write_json(path: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def model_sha256(model: Any) -> str:
    """A checksum of a model's weights as they are computed with; "" for a backend that does not show them."""
    weights = getattr(model, "weights", None)
    if weights is None:
        return ""
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(weights().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).cpu().numpy().tobytes())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("torch", "transformers", "numpy", "sqlalchemy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    import torch

    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists() and (name := re.search(r"model name\s*:\s*(.+)", info.read_text())):
        cpu = name.group(1)
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
