"""Which recordings judge a fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from autoarm.system_id.split import folds, hold_out
from gym_autoarm.errors import InvalidInputError

SPLIT = Path(__file__).parents[3] / "benchmarks/arms/so101-12v/split.yaml"


def test_draw_is_the_one_that_was_committed_before_anything_was_fitted() -> None:
    drawn = yaml.safe_load(SPLIT.read_text())
    names = drawn["held_out"] + drawn["fitted"]
    assert list(hold_out(names, drawn["seed"])) == drawn["held_out"]


def test_draw_depends_on_the_names_alone() -> None:
    names = [f"m{number}" for number in range(13)]
    drawn = hold_out(names)
    assert drawn == hold_out(names[::-1])
    assert len(drawn) == 3
    assert drawn != hold_out(names, seed=1)
    assert hold_out(["one"]) == ()
    assert len(hold_out(["one", "two"])) == 1


def test_folds_hold_every_name_once() -> None:
    names = [f"m{number}" for number in range(10)]
    dealt = folds(names, 4)
    assert sorted(name for fold in dealt for name in fold) == names
    assert {len(fold) for fold in dealt} == {2, 3}
    assert dealt == folds(names[::-1], 4)
    for count in (1, 11):
        with pytest.raises(InvalidInputError, match="folds"):
            folds(names, count)
