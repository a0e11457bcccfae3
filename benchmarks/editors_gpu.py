"""Latency and memory of every editor at the shapes of large models, with random weights, on a GPU where there is one.

No download: Llama-3-8B's and Llama-2-7B's shapes are filled with random numbers, so answers mean nothing and only
time and memory are printed. Ten minutes on a large GPU; `--tiny` runs the same on shapes that any machine holds.
Table 4 of the KGT paper (an A100, trained models) is printed beside.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, LlamaConfig, PretrainedConfig, PreTrainedTokenizerFast

from kgt.bench import memory
from kgt.bench.paper import COSTS
from kgt.editors import Editor, EditRequest, Parts, Question, load_editor
from kgt.editors.open import load_weight_editor, opened, untrained
from kgt.lm.encoder import bundled_encoder
from kgt.lm.hf import HFModel

SHAPES: dict[str, dict[str, Any]] = {
    "Llama-3-8B": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "Llama-2-7B": {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 32000,
    },
}
TINY: dict[str, dict[str, Any]] = {
    f"{name}, tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "vocab_size": 400,
    }
    for name in SHAPES
}
METHODS = ("kgt", "memory", "ft", "ft_l", "rome", "kn", "grace", "defer", "mend", "ke")
ENDS = {"eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0}
TEXT = "The mother tongue of Danielle Darrieux is French. The capital of the land is a city on the river. "


class Row(NamedTuple):
    """One method's on one shape: seconds an edit, and megabytes over plain inference."""

    shape: str
    method: str
    seconds: list[float]
    megabytes: float
    refused: str = ""


def main() -> None:
    args = parse()
    out = Console(highlight=False)
    rows = []
    for name, shape in (TINY if args.tiny else SHAPES).items():
        model = random_model(name, shape, args.device)
        table = Table(
            "method",
            "s an edit, median",
            "spread",
            "peak MB over inference",
            "the paper's s",
            title=f"{name}, random weights",
        )
        for row in measured(name, model, args.edits, args.methods.split(",")):
            rows.append(row)
            if row.refused:
                table.add_row(row.method, "refused", "", row.refused, "")
                continue
            low, high = min(row.seconds), max(row.seconds)
            published = COSTS.get(row.method, {}).get(name.partition(",")[0].replace("Llama-", "Llama"))
            table.add_row(
                row.method,
                f"{statistics.median(row.seconds):.3f}",
                f"{low:.3f} to {high:.3f}",
                f"{row.megabytes:,.0f}",
                f"{published.seconds:.2f}" if published else "",
            )
        out.print(table)
        del model
        free()
    if args.json:
        args.json.write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n", encoding="utf-8")


def measured(shape: str, model: HFModel, edits: int, methods: list[str]) -> Iterator[Row]:
    """Each method's edits on one model; the first edit, which compiles and gathers statistics, is not counted."""
    question = Question("someone", request(0).query, request(0).subject)
    plain = load_editor("no_edit", Parts(model))
    plain.score([question], [["French"]])
    memory.restart_peaks()
    plain.score([question], [["French"]])
    inference = peak()
    for method in methods:
        editor = made(method, model)
        try:
            editor.edit(request(0))  # compiles kernels
            free()
            memory.restart_peaks()
            seconds = []
            for i in range(1, edits + 1):
                started = perf_counter()
                editor.edit(request(i))
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                seconds.append(perf_counter() - started)
            yield Row(shape, method, seconds, max(0.0, peak() - inference))
        except torch.OutOfMemoryError as error:
            yield Row(shape, method, [], 0.0, str(error).splitlines()[0])
        finally:
            editor.close()
            del editor
            free()


def made(method: str, model: HFModel) -> Editor:
    """An editor; hyper-networks are untrained, which costs the same."""
    if method in ("mend", "ke"):
        network, hyper = opened(model, None)
        return untrained(method, network, hyper)[0]
    if method in ("kgt", "memory"):
        return load_editor(method, Parts(model, bundled_encoder()))
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder) / "text.txt"
        corpus.write_text(TEXT * 200, encoding="utf-8")
        editor = load_weight_editor(method, model, corpus=corpus)
        editor.edit(request(0))  # reads the corpus
    return editor


def request(i: int) -> EditRequest:
    names = ("Danielle Darrieux", "Victor Hugo", "Marie Curie", "Ana Silva", "Ben Okri", "Ida Lupino")
    name = f"{names[i % len(names)]} {i}"
    return EditRequest("someone", f"The mother tongue of {name} is", "English", name, "English", "French")


def random_model(name: str, shape: dict[str, Any], device: str) -> HFModel:
    """A Llama of that shape with random weights and a byte-level tokenizer."""
    return random_weights(name, LlamaConfig(**shape, max_position_embeddings=4096, **ENDS), device)


def random_weights(name: str, config: PretrainedConfig, device: str) -> HFModel:
    """A model of a configuration with random weights and a byte-level tokenizer; in bfloat16 on a GPU."""
    torch.manual_seed(0)
    with torch.device(device):
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
        try:
            model = AutoModelForCausalLM.from_config(config)
        finally:
            torch.set_default_dtype(default)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 2, trainer)
    return HFModel(model, PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>"), name)


def peak() -> float:
    cuda = memory.peak_cuda()
    return memory.peak_rss() if cuda is None else cuda


def free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="shapes that any machine holds")
    parser.add_argument("--edits", type=int, default=5, help="edits timed (default 5)")
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
