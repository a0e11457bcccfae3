"""llama.cpp's C interface as far as it is needed: text ↔ tokens, and sequences that grow and branch."""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import llama_cpp as api
import numpy as np

from kgt.errors import ModelError
from kgt.lm.decoding import Floats, log_softmax
from kgt.lm.gguf import check
from kgt.lm.tokens import Tokens

CELLS = 4096
"""Tokens the key-value cache holds at first; it grows to twice, three times … as many when texts need more."""
SEQUENCES = 256
"""Most sequences at once: llama.cpp's own limit."""
BATCH = 512
"""Most tokens in one call of llama_decode: bounds its buffers, and more is no faster."""


class Read(NamedTuple):
    """A token to read.

    Attributes:
        position: how many tokens stand before it.
        sequences: all those that it is the next token of, each of which holds all before it or reads that before.
        wanted: whether the next token's distribution is asked for.
    """

    token: int
    position: int
    sequences: list[int]
    wanted: bool


class Engine:
    """A GGUF file in memory, with one key-value cache that all sequences share.

    Attributes:
        branches: whether a token may be of several sequences; not where a model's memory is more than attention's.
        keeps: whether others may begin with a sequence later; not where attention has a window, which takes its cells.
        contexts: how many key-value caches there were; a new one holds no sequences.

    Args:
        device: "cpu" keeps all layers off the GPU; anything else uses one where llama.cpp was built for it.
        threads: 0 is OMP_NUM_THREADS where set, as for torch, else the cores this process may use.

    Raises:
        ModelError: the file is no GGUF, is truncated, or of an architecture llama.cpp does not run.
    """

    def __init__(self, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        self._model = _loaded(path, on_gpu=device != "cpu")
        weakref.finalize(self, api.llama_model_free, self._model)
        self._vocab = api.llama_model_get_vocab(self._model)
        self._threads = threads or int(os.environ.get("OMP_NUM_THREADS") or 0) or _cores()
        self._cells = 0
        self._context: Any = None
        self._batch = api.llama_batch_init(BATCH, 0, SEQUENCES)
        weakref.finalize(self, api.llama_batch_free, self._batch)
        self.size = int(api.llama_vocab_n_tokens(self._vocab))
        self.branches = not (api.llama_model_is_recurrent(self._model) or api.llama_model_is_hybrid(self._model))
        self.keeps = self.branches and not api.llama_model_n_swa(self._model)
        self.contexts = 0
        self.longest = int(api.llama_model_n_ctx_train(self._model))

    # -- text --------------------------------------------------------------------------------------

    @property
    def chat_template(self) -> str:
        """The Jinja source from the file's metadata, "" if there is none."""
        return (api.llama_model_chat_template(self._model, None) or b"").decode("utf-8", "replace")

    def special(self, name: str) -> str:
        """The text of the "bos" or "eos" token, "" if the model has none."""
        token = {"bos": api.llama_vocab_bos, "eos": api.llama_vocab_eos}[name](self._vocab)
        return self.decode([token]) if token >= 0 else ""

    def encode(self, text: str) -> Tokens:
        """The tokens of a text; special tokens are what the chat template wrote into it."""
        data = text.encode("utf-8", "replace")
        room = len(data) + 8
        while True:
            buffer = (api.llama_token * room)()
            n = api.llama_tokenize(self._vocab, data, len(data), buffer, room, False, True)
            if n >= 0:
                return tuple(buffer[:n]) or (max(0, int(api.llama_vocab_eos(self._vocab))),)
            room = -n

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, with \ufffd for a character of which a part is missing."""
        array = (api.llama_token * len(tokens))(*tokens)
        room = 16 * len(tokens) + 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            n = api.llama_detokenize(self._vocab, array, len(tokens), buffer, room, False, True)
            if n >= 0:
                return buffer.raw[:n].decode("utf-8", "replace")
            room = -n

    def ends(self, token: int) -> bool:
        """Whether a token ends the model's turn."""
        return bool(api.llama_vocab_is_eog(self._vocab, token))

    # -- sequences ---------------------------------------------------------------------------------

    def room_for(self, cells: int) -> None:
        """Have room for so many tokens of all sequences; all are lost where there was less."""
        if cells > self._cells:
            self.contexts += 1
            self._context, self._cells = None, 0  # freed before the next takes its memory
            more = -(-cells // CELLS) * CELLS
            self._context, self._cells = _Context(self._model, more, self._threads), more

    def copy(self, source: int, target: int, length: int = -1) -> None:
        """Let a sequence begin with another's first tokens, or all of them; it shares the other's cells."""
        api.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def forget(self, sequence: int) -> None:
        """Empty a sequence."""
        api.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def read(self, todo: Sequence[Read]) -> Floats:
        """Read tokens, in as few passes as they need.

        Returns:
            The next token's log-probabilities after each one wanted, in their order, (wanted, vocabulary).
        """
        found = [self._read(todo[at : at + BATCH]) for at in range(0, len(todo), BATCH)]
        return np.concatenate(found) if len(found) != 1 else found[0]

    @property
    def _memory(self) -> Any:
        return api.llama_get_memory(self._context.pointer)

    def _read(self, todo: Sequence[Read]) -> Floats:
        """The same in one pass."""
        batch = self._batch
        batch.n_tokens = len(todo)
        for i, (token, position, sequences, wanted) in enumerate(todo):
            batch.token[i], batch.pos[i], batch.logits[i] = token, position, wanted
            batch.n_seq_id[i] = len(sequences)
            for place, sequence in enumerate(sequences):
                batch.seq_id[i][place] = sequence
        failed = api.llama_decode(self._context.pointer, batch)
        if failed:
            raise ModelError(f"llama.cpp could not decode {len(todo)} tokens (code {failed}).", "Shorten the text.")
        n = sum(wanted for *_, wanted in todo)
        if not n:
            return np.zeros((0, self.size), np.float32)
        logits = api.llama_get_logits(self._context.pointer)
        return log_softmax(np.ctypeslib.as_array(logits, (n, self.size)))


class _Context:
    """A key-value cache of so many cells; freed with this object."""

    def __init__(self, model: Any, cells: int, threads: int) -> None:
        params = api.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = BATCH
        params.n_seq_max = SEQUENCES
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True  # sequences share cells; else a copy would copy them, and each had a part of the cache
        params.no_perf = True
        self.pointer = api.llama_init_from_model(model, params)
        if not self.pointer:
            raise ModelError(
                f"There is no memory for a context of {cells:,} tokens.", "Shorten the text, or take a smaller model."
            )
        weakref.finalize(self, api.llama_free, self.pointer)


def _loaded(path: Path, *, on_gpu: bool) -> Any:
    check(path)
    _quiet()
    params = api.llama_model_default_params()
    if b"AMX_INT8 = 1" in api.llama_print_system_info():
        params.use_extra_bufts = False  # its AMX kernels crash when built by GCC 12 (docs/decisions/0014-backends.md)
    params.n_gpu_layers = -1 if on_gpu and api.llama_supports_gpu_offload() else 0
    complaints.clear()
    model = api.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        why = complaints[0] if complaints else "llama.cpp does not say why"
        raise ModelError(
            f"{path} could not be read: {why}",
            "It may be truncated, or of an architecture llama.cpp does not run: fetch it again, or try `hf:` with it.",
        )
    return model


complaints: list[str] = []
"""What llama.cpp said was wrong, since the last file was begun."""


def _note(level: int, text: bytes, _: object) -> None:
    if level == ERROR:
        complaints.append(text.decode("utf-8", "replace").strip())


ERROR = 4
"""ggml_log_level."""
_NOTE = api.llama_log_callback(_note)  # kept, because llama.cpp only has its address


def _quiet() -> None:
    """Keep llama.cpp's log off the screen, but remember its errors."""
    api.llama_log_set(_NOTE, None)
    api.llama_backend_init()


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1
