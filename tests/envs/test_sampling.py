from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_autoarm import spec
from gym_autoarm.body_files import load_body
from gym_autoarm.errors import InvalidInputError
from gym_autoarm.sampling import SPOT_JITTER, SPOT_YAW, SceneDistribution
from gym_autoarm.scene import Light, Scene

seeds = st.integers(0, 2**63)


@given(seeds)
def test_cube_lies_in_the_work_area(seed: int) -> None:
    cube = SceneDistribution().sample(seed).cube
    (x_low, x_high), (y_low, y_high) = spec.WORK_AREA
    assert x_low <= cube.x <= x_high
    assert y_low <= cube.y <= y_high
    assert -45 <= cube.yaw <= 45


@given(seeds, st.sampled_from(sorted(spec.SPOTS)))
def test_cube_lies_at_its_spot(seed: int, spot: str) -> None:
    cube = SceneDistribution().sample(seed, spot).cube
    x, y = spec.SPOTS[spot]
    assert abs(cube.x - x) <= SPOT_JITTER
    assert abs(cube.y - y) <= SPOT_JITTER
    assert abs(cube.yaw) <= SPOT_YAW


@given(seeds)
def test_cube_is_turned_as_the_spot_says(seed: int) -> None:
    straight, turned = (SceneDistribution().sample(seed, spot).cube for spot in ("0.2:0.05", "0.2:0.05:-30"))
    assert (turned.x, turned.y, turned.yaw) == (straight.x, straight.y, pytest.approx(straight.yaw - 30.0))
    assert abs(straight.yaw) <= SPOT_YAW


@given(seeds)
def test_spots_are_drawn_from_those_named(seed: int) -> None:
    cube = SceneDistribution(cube="spots", spots=("centre", "near-left")).sample(seed).cube
    offsets = [max(abs(cube.x - x), abs(cube.y - y)) for x, y in (spec.SPOTS["centre"], spec.SPOTS["near-left"])]
    assert min(offsets) <= SPOT_JITTER


def test_every_spot_and_all_of_the_work_area_come_up() -> None:
    everywhere = np.array([(c.x, c.y) for c in (SceneDistribution().sample(seed).cube for seed in range(400))])
    cells, *_ = np.histogram2d(*everywhere.T, bins=(4, 5), range=spec.WORK_AREA)
    assert (cells > 0).all()
    spots = {
        min(spec.SPOTS, key=lambda name, c=cube: abs(spec.SPOTS[name][0] - c.x) + abs(spec.SPOTS[name][1] - c.y))
        for cube in (SceneDistribution(cube="spots").sample(seed).cube for seed in range(60))
    }
    assert spots == set(spec.SPOTS)


@given(seeds)
def test_other_choices_do_not_move_the_cube(seed: int) -> None:
    base = Scene(light=Light(diffuse=0.3), body=load_body("so100-soft"), surface="mat")
    plain, varied = SceneDistribution(), SceneDistribution(base=base, home_noise=9.0)
    assert plain.sample(seed).cube == varied.sample(seed).cube
    assert plain.sample(seed).start == replace(varied, home_noise=plain.home_noise).sample(seed).start
    assert varied.sample(seed).light == base.light


@given(seeds)
def test_arm_starts_within_its_limits(seed: int) -> None:
    start = SceneDistribution(home_noise=60.0).sample(seed).start
    assert (start >= spec.ACTION_LOW).all()
    assert (start <= spec.ACTION_HIGH).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cube": "nowhere"}, "nowhere"),
        ({"spots": ("near-right", "attic")}, "attic"),
        ({"jitter": 1.0}, "jitter"),
    ],
)
def test_bad_distribution_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        SceneDistribution.of(fields)
    assert caught.value.cure
