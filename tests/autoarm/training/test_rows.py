"""Rows are the same, wherever they are kept and whoever reads them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from autoarm.training.rows import Rows

ARRAY = np.random.default_rng(0).integers(0, 256, (600, 3, 4), np.uint8)
CPU = torch.device("cpu")


class Disk:
    """Notes who reads what."""

    def __init__(self) -> None:
        self.readings: list[tuple[bool, list[int]]] = []

    def __call__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        self.readings.append((threading.current_thread() is threading.main_thread(), rows.tolist()))
        return ARRAY[rows]


def test_kept_rows_are_read_once_in_pieces() -> None:
    disk = Disk()
    rows = Rows(disk, len(ARRAY), CPU)
    assert len(rows) == 600
    assert rows.nbytes == ARRAY.nbytes
    disk.readings.clear()
    rows.keep()
    assert rows.are_kept
    assert [number for _, part in disk.readings for number in part] == list(range(600))
    assert max(len(part) for _, part in disk.readings) < 600
    disk.readings.clear()
    wanted = np.array([599, 0, 300, 300])
    assert torch.equal(rows[wanted], torch.from_numpy(ARRAY[wanted]))
    rows.keep()
    assert not disk.readings
    rows.let_go()
    assert not rows.are_kept
    assert torch.equal(rows[wanted], torch.from_numpy(ARRAY[wanted]))
    assert len(disk.readings) == 1


def test_the_next_rows_are_read_by_another_thread() -> None:
    disk = Disk()
    rows = Rows(disk, len(ARRAY), CPU, read_ahead=True)
    first, second, third = np.array([4, 2]), np.array([7, 7]), np.array([1, 0])
    assert torch.equal(rows[first], torch.from_numpy(ARRAY[first]))
    rows.ahead(second)
    assert torch.equal(rows[second], torch.from_numpy(ARRAY[second]))
    assert disk.readings == [(True, [4, 2]), (False, [7, 7])]
    # What was not asked for is read after all, and what was announced in vain is forgotten.
    rows.ahead(first)
    assert torch.equal(rows[third], torch.from_numpy(ARRAY[third]))
    assert torch.equal(rows[first], torch.from_numpy(ARRAY[first]))
    assert [reading for reading in disk.readings if reading[0]] == [(True, [4, 2]), (True, [1, 0]), (True, [4, 2])]


def test_nothing_is_read_ahead_where_it_would_not_help() -> None:
    disk = Disk()
    rows = Rows(disk, len(ARRAY), CPU)
    rows.ahead(np.array([1]))
    kept = Rows(disk, len(ARRAY), CPU, read_ahead=True)
    kept.keep()
    disk.readings.clear()
    kept.ahead(np.array([1]))
    assert not disk.readings


def test_a_failure_of_the_reader_reaches_who_wants_the_rows() -> None:
    def broken(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        raise OSError("the disk is gone")

    rows = Rows(broken, 3, CPU, read_ahead=True)
    rows.ahead(np.array([1]))
    with pytest.raises(OSError, match="the disk is gone"):
        rows[np.array([1])]
