"""Ways home keep clear of everything, and goals stay above the floor."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoarm_hardware.links import Links
from autoarm_hardware.planning import CLEARANCE, plan_way
from autoarm_hardware.safety import Floor
from gym_autoarm import spec
from gym_autoarm.errors import UnreachablePoseError
from gym_autoarm.kinematics import ArmKinematics, GraspPose
from gym_autoarm.rng import stream
from gym_autoarm.scene import HOME

HEIGHT = 0.04
GRIPPER = spec.GRIPPER
LINKS, BARE = Links(HEIGHT), Links(0.0)

positions = st.tuples(
    *(st.floats(float(low), float(high)) for low, high in zip(spec.ACTION_LOW, spec.ACTION_HIGH, strict=True))
).map(np.array)


def reaching(x: float, y: float, z: float, opening: float = 30.0) -> Any:
    """Joint positions with the grasp site there, the gripper pointing down."""
    return np.append(ArmKinematics().inverse(GraspPose((x, y, z))), opening)


def along(way: list[Any]) -> list[Any]:
    """Positions every degree or so."""
    return [
        one + part * (other - one)
        for one, other in pairwise(way)
        for part in np.linspace(0, 1, 2 + int(np.abs(other - one).max()))
    ]


# -- Links -------------------------------------------------------------------------------------------------------------


def test_distances_are_those_of_the_table() -> None:
    above, lower = reaching(0.2, 0.0, 0.10), reaching(0.2, 0.0, 0.06)
    assert LINKS.lowest(above) - LINKS.lowest(lower) == pytest.approx(0.04, abs=0.001)
    low = reaching(0.2, 0.0, 0.03)
    assert BARE.clearances(low)[0] == pytest.approx(BARE.lowest(low), abs=1e-6)
    assert LINKS.clearances(low)[0] < 0  # it is where the box may be


@given(positions, st.floats(-0.05, 0.1))
def test_raised_goal_is_no_lower_and_near(goal: Any, height: float) -> None:
    before = LINKS.lowest(goal)
    raised = LINKS.raised(goal, height)
    assert np.all((raised >= spec.ACTION_LOW) & (raised <= spec.ACTION_HIGH))
    assert LINKS.lowest(raised) >= before - 1e-9
    assert np.array_equal(raised[[0, 4, 5]], goal[[0, 4, 5]])  # turns are the policy's
    if before >= height:
        assert np.array_equal(raised, goal)


def test_goal_below_the_floor_is_raised_to_it() -> None:
    for depth in (0.005, 0.01, 0.03):
        goal = reaching(0.22, 0.03, 0.04)
        goal[1] += np.rad2deg((0.04 + depth) / 0.2)
        assert LINKS.lowest(goal) < -0.005
        raised = Floor(LINKS, -0.005).raised(goal)
        assert LINKS.lowest(raised) == pytest.approx(-0.005, abs=1e-3)
        assert np.abs(raised - goal).max() < 25


@given(positions, positions)
def test_nothing_between_two_goals_is_sent_lower_than_the_floor(before: Any, goal: Any) -> None:
    kept = Floor(LINKS, 0.02).kept_above(goal, before)
    assert LINKS.lowest(kept) >= min(0.02, LINKS.lowest(before)) - 1e-9
    assert np.all((kept - before) * (goal - kept) >= -1e-9)  # between them


# -- Ways --------------------------------------------------------------------------------------------------------------


def starts(count: int) -> list[Any]:
    """Positions that touch nothing, drawn once for all: a search would find the rare ones that have no way."""
    rng, found = stream(0, "ways home"), []
    while len(found) < count:
        position = rng.uniform(spec.ACTION_LOW, spec.ACTION_HIGH)
        if min(BARE.clearances(position)) >= 0.0:
            found.append(position)
    return found


@pytest.mark.parametrize("start", starts(60))
def test_way_home_keeps_its_distance_once_it_has_it(start: Any) -> None:
    way = plan_way(start, HOME, LINKS)
    assert np.allclose(way[0], start)
    assert np.allclose(way[-1], HOME)
    # A gripper that has let go opens first, where it is; how near its jaw comes thereby is not planned.
    assert np.array_equal(way[0][:GRIPPER], way[1][:GRIPPER])
    opened = way[1:]
    distances = np.array([LINKS.clearances(position)[0] for position in along(opened)])
    far = np.flatnonzero(distances >= CLEARANCE)
    if np.abs(start - HOME)[:GRIPPER].max() > 10:
        # Up from where it was, and down to home, and nowhere else, it is nearer.
        assert np.all(distances[far[0] : far[-1] + 1] >= CLEARANCE - 1e-3)
        up, down = distances[: far[0] + 1], distances[far[-1] :]
        assert np.all(np.diff(up) >= -1e-3)
        assert np.all(np.diff(down) <= 1e-3)


def test_hand_in_the_box_goes_straight_up_first() -> None:
    inside = reaching(*spec.BOX_POSITION, 0.03, opening=5.0)
    way = plan_way(inside, HOME, LINKS)
    kinematics = ArmKinematics()
    places = np.array([kinematics.forward(position)[0] for position in along(way)])
    rising = places[places[:, 2] < 0.06][: len(places) // 2]
    rising = rising[np.hypot(*(rising[:, :2] - spec.BOX_POSITION).T) < 0.1]
    assert np.abs(rising[:, :2] - spec.BOX_POSITION).max() < 0.01


@pytest.mark.parametrize(("opening", "first"), [(5.0, 5.0), (20.0, HOME[GRIPPER])])
def test_gripper_that_holds_something_opens_at_home_and_an_open_one_at_once(opening: float, first: float) -> None:
    way = plan_way(reaching(0.2, 0.05, 0.05, opening), HOME, LINKS)
    assert way[1][GRIPPER] == first
    assert {position[GRIPPER] for position in way[1:-1]} == {first}
    assert way[-1][GRIPPER] == HOME[GRIPPER]


def test_short_way_is_straight() -> None:
    start = np.add(HOME, (3, 2, -4, 5, 6, 0))
    assert len(plan_way(start, HOME, LINKS)) <= 4


def test_no_way_is_an_error_with_a_cure() -> None:
    with pytest.raises(UnreachablePoseError, match="autoarm release"):
        plan_way(reaching(0.2, 0.05, 0.1), HOME, Links(0.6))


@pytest.mark.parametrize("module", ["autoarm_hardware.links", "autoarm_hardware.env", "autoarm_hardware.twin.body"])
def test_whatever_is_imported_first_frames_can_be_drawn(module: str) -> None:
    program = f"import {module}, os; print(os.environ['MUJOCO_GL'])"
    environment = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("egl", "disable")
