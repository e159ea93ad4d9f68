"""Rows of an array that lies on a disk, wanted batch by batch on a device.

On a GPU half of a training step can be spent on waiting for its pictures. There all rows are kept in its memory where
they fit; elsewhere a thread reads those of the next step while this one is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SLICE: Final = 256
"""Rows that are moved at once when all are."""
_READER: Final = ThreadPoolExecutor(2, thread_name_prefix="rows")
"""A thread for each of two cameras. NumPy copies rows without holding the interpreter, so that no process is needed."""


class Rows:
    """Rows of an array, as tensors on a device.

    Args:
        read: Gives the rows with the given numbers.
        count: Rows in all.
        device: Where they are wanted.
        read_ahead: Whether `ahead` has an effect; by default on a GPU, beside which the processor has nothing to do.
    """

    def __init__(
        self,
        read: Callable[[NDArray[np.int64]], NDArray[Any]],
        count: int,
        device: torch.device,
        read_ahead: bool | None = None,
    ) -> None:
        self._read, self._count, self._device = read, count, device
        self._read_ahead = device.type == "cuda" if read_ahead is None else read_ahead
        self._kept: Tensor | None = None
        self._coming: tuple[bytes, Future[Tensor]] | None = None

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Size of all rows."""
        return self._count * self._read(np.zeros(1, np.int64)).nbytes

    @property
    def are_kept(self) -> bool:
        """Whether all rows are in the device's memory."""
        return self._kept is not None

    def keep(self) -> None:
        """Move all rows to the device's memory, whatever room there is."""
        if self._kept is not None:
            return
        for first in range(0, self._count, _SLICE):
            rows = torch.from_numpy(self._read(np.arange(first, min(first + _SLICE, self._count))))
            if self._kept is None:
                self._kept = torch.empty((self._count, *rows.shape[1:]), dtype=rows.dtype, device=self._device)
            self._kept[first : first + len(rows)] = rows

    def let_go(self) -> None:
        """Free the memory that `keep` took."""
        self._kept = None

    def ahead(self, rows: NDArray[np.int64]) -> None:
        """Begin to read the rows that will be wanted next."""
        if self._kept is None and self._read_ahead:
            self._coming = rows.tobytes(), _READER.submit(self._in_memory, rows)

    def __getitem__(self, rows: NDArray[np.int64]) -> Tensor:
        """The rows with these numbers."""
        if self._kept is not None:
            return self._kept[torch.from_numpy(rows).to(self._device)]
        coming, self._coming = self._coming, None
        if coming is not None and coming[0] == rows.tobytes():
            return coming[1].result().to(self._device, non_blocking=True)
        return torch.from_numpy(self._read(rows)).to(self._device)

    def _in_memory(self, rows: NDArray[np.int64]) -> Tensor:
        found = torch.from_numpy(self._read(rows))
        return found.pin_memory() if self._device.type == "cuda" else found
