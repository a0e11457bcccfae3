"""Peak memory of a stretch of work, in megabytes (10⁶ bytes)."""

from __future__ import annotations

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")


def restart_peaks() -> None:
    """Forget the peaks so far. Where the system cannot (not Linux), they run on from the process's start."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if _cuda():
        import torch

        torch.cuda.reset_peak_memory_stats()


def peak_rss() -> float:
    """Highest resident memory since `restart_peaks`."""
    if _STATUS.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())):
        return int(found.group(1)) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def peak_cuda() -> float | None:
    """Highest memory allocated on the GPU since `restart_peaks`; None without one."""
    if not _cuda():
        return None
    import torch

    return torch.cuda.max_memory_allocated() / 1e6


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
