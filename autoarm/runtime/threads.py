"""One thread a process.

Sums that are split over several threads round differently, and processes side by side would fight for the cores.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

# `0` keeps llvmpipe, the GL of machines without a GPU, from starting threads; it reads this before its first frame.
ENVIRONMENT: Final = {"OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}
"""What native libraries read once, when they are loaded or first used."""


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Hold BLAS, OpenMP and torch to one thread: the same numbers on any number of cores.

    Only libraries that are loaded when the block is entered are held.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else 0
    with threadpool_limits(1):
        if torch is None:
            yield
            return
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@contextlib.contextmanager
def environment_for_children() -> Iterator[None]:
    """Processes started in the block use one thread each, unless this one's environment says otherwise already."""
    missing = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            del os.environ[name]
