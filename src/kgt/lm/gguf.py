"""GGUF files: dequantised once into a cache folder, because that takes seconds and loading it does not."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
from pathlib import Path

from kgt.errors import ModelError
from kgt.lm.template import ChatTemplate


def converted(path: Path, cache: Path) -> Path:
    """The folder with the file's dequantised bfloat16 weights and tokenizer, converted if need be.

    The folder's name holds a hash of the file's path, size and time of change. It appears by one
    rename, so several processes may convert at once and none sees half a model.

    Raises:
        ModelError: the file is no GGUF, is truncated, or holds an architecture transformers cannot read.
    """
    path = path.resolve()
    stat = path.stat()
    digest = hashlib.sha256(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cache / "models" / f"{path.stem}-{digest}"
    if not folder.is_dir():
        _convert(path, folder)
    return folder


def chat_template(path: Path) -> ChatTemplate:
    """The chat template in the file's metadata; nothing else of the model is read.

    Raises:
        ModelError: the file is no GGUF, or is damaged.
    """
    check(path)
    from gguf import GGUFReader

    try:
        fields = GGUFReader(path).fields
        words = fields["tokenizer.ggml.tokens"]
        specials = {}
        for kind in ("bos", "eos"):
            token = fields.get(f"tokenizer.ggml.{kind}_token_id")
            specials[f"{kind}_token"] = words.contents(int(token.contents())) if token else ""
        template = fields.get("tokenizer.chat_template")
    except Exception as error:  # the gguf reader fails in many ways on a damaged file
        raise ModelError(f"{path} could not be read: {error}", "It may be truncated: fetch it again.") from error
    return ChatTemplate(str(template.contents()) if template else "", specials)


def check(path: Path) -> None:
    """Refuse a file that is no GGUF.

    Raises:
        ModelError: as said.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ModelError(f"{path} is no GGUF file.", "Give a file that starts with the letters GGUF.")


def _convert(path: Path, folder: Path) -> None:
    check(path)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from kgt.lm.hf import first_line
    from kgt.lm.quiet import quiet_transformers

    quiet_transformers()
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # its bar cannot be switched off; the caller shows ours
            tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
            model = AutoModelForCausalLM.from_pretrained(
                path.parent,
                gguf_file=path.name,
                dtype=torch.bfloat16,
                quantization_config=GgufConfig(dequantize=True),
            )
        tokenizer.save_pretrained(work)
        model.save_pretrained(work)
        try:
            os.rename(work, folder)
        except OSError:
            if not folder.is_dir():  # another process finished first: its result is as good
                raise
    except Exception as error:  # the gguf reader fails in many ways on a damaged file
        raise ModelError(
            f"{path} could not be read: {first_line(error)}",
            "It may be truncated, or of an architecture transformers does not read: fetch it again or choose another.",
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
