"""Poses that cover the work area."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from autoarm.data.collect import collect, collection_settings
from autoarm.data.layout import spread_spots
from gym_autoarm import spec
from gym_autoarm.sampling import SPOT_JITTER, SPOT_YAW, SceneDistribution, spot_pose

SMALL = (96, 128)
seeds = st.integers(0, 2**63)


def poses(count: int, seed: int) -> NDArray[np.float64]:
    return np.array([spot_pose(name) for name in spread_spots(count, seed)])


@given(seeds, st.integers(1, 60))
def test_they_lie_in_the_work_area(seed: int, count: int) -> None:
    for axis, (low, high) in enumerate(spec.WORK_AREA):
        assert (poses(count, seed)[:, axis] >= low).all()
        assert (poses(count, seed)[:, axis] <= high).all()


@given(seeds)
def test_fewer_are_the_first_of_more_and_no_two_are_one(seed: int) -> None:
    assert spread_spots(50, seed)[:20] == spread_spots(20, seed)
    assert len(set(spread_spots(50, seed))) == 50


@pytest.mark.parametrize("seed", range(5))
def test_hardly_any_of_the_work_area_lies_beyond_fifty_of_them(seed: int) -> None:
    anywhere = [SceneDistribution().sample(each).cube for each in range(1000)]
    test = np.array([(cube.x, cube.y) for cube in anywhere])
    within = np.mean(Delaunay(poses(50, seed)[:, :2]).find_simplex(test) >= 0)
    at_random = np.mean(Delaunay(test[:50]).find_simplex(test) >= 0)
    assert within > 0.95
    assert within > at_random


@pytest.mark.parametrize("seed", range(5))
def test_every_turn_is_there(seed: int) -> None:
    turns = np.sort(poses(50, seed)[:, 2])
    assert np.diff([turns[-1] - 90.0, *turns]).max() < 8.0  # a square looks the same after 90 degrees


def test_a_recording_lays_the_cube_there(tmp_path: Path) -> None:
    out = collect(tmp_path / "d", spots="spread", episodes=2, seed=4, image_size=SMALL, workers=1)
    assert {episode.spot for episode in out.collection.episodes} == set(spread_spots(2, 4))
    for episode in out.collection.episodes:
        assert episode.spot is not None
        x, y, yaw = spot_pose(episode.spot)
        assert episode.cube_xy == pytest.approx((x, y), abs=SPOT_JITTER)
        assert episode.scene["cube"]["yaw"] == pytest.approx(yaw, abs=SPOT_YAW)
    assert collection_settings("spread", 10, None, 4, SMALL, "h264").total == 50
