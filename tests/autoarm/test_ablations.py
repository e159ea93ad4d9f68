"""The table of what makes a policy better: its commands are real ones, and its numbers those of the results."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
import tyro
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.commands.train import Train
from autoarm.policies.loading import shipped_policies
from autoarm.results.result import EpisodeRow, Result
from autoarm.training.backbone import load_backbone, load_into
from autoarm.training.new_policy import new_policy, policy_config
from autoarm.training.presets import preset
from gym_autoarm.errors import InvalidInputError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "ablations" / "training.py"


def load(script: Path) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"{script.stem}_ablations", script)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module  # dataclasses look their module up
    found.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ablations() -> ModuleType:
    return load(SCRIPT)


def test_every_row_is_a_command_that_trains_something_else(ablations: ModuleType, tmp_path: Path) -> None:
    options = ablations.Options(Path("data"), Path("backbone"), tmp_path)
    seen = set()
    for name, row in ablations.ROWS.items():
        command = tyro.cli(Train, args=ablations.train_arguments(name, options))
        config = preset(command.preset, command.steps, command.batch_size, policy=command.policy)
        assert row.acts.keys() <= vars(policy_config(config, "cpu")).keys()
        if row.of is not None:
            assert not row.train
            assert row.acts
        seen.add((*row.train, *row.acts.items(), row.end_to_end))
    assert len(seen) == len(ablations.ROWS)


def test_a_changed_policy_differs_in_those_fields_alone(ablations: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "config.json").write_text('{"n_action_steps": 25, "chunk_size": 50}')
    (tmp_path / "policy" / "model.safetensors").write_bytes(b"weights")
    folder = ablations.changed_policy(tmp_path / "policy", tmp_path / "new" / "one", {"n_action_steps": 10})
    assert json.loads((folder / "config.json").read_text()) == {"n_action_steps": 10, "chunk_size": 50}
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_the_table_holds_the_rows_that_are_there(
    ablations: ModuleType, make_result: Callable[..., Result], tmp_path: Path
) -> None:
    options = ablations.Options(Path("data"), Path("backbone"), tmp_path)

    def in_axes(rows: list[object]) -> list[object]:
        return [
            row.model_copy(update={"group": ablations.AXES[number % 3]})  # type: ignore[attr-defined]
            for number, row in enumerate(rows)
        ]

    make_result("x", "everywhere", [True, False, True, True, True, True], rows=in_axes).save(tmp_path / "vae.json")
    ablations.write_table(options)
    heading, _, *table = (tmp_path / "training.md").read_text().splitlines()
    assert len(table) == 3
    assert (
        table[2]
        == "| with the VAE | `--policy use_vae true` | 100 % (34 to 100) | 50 % (9 to 91) | 100 % (34 to 100) |"
    )
    # What somebody who reads the table would run.
    _, _, *read = shlex.split(f"{heading.split('`')[1]} {table[2].split('`')[1]}".replace("RUN", str(tmp_path)))
    measured = tyro.cli(Train, args=ablations.train_arguments("vae", options))
    assert tyro.cli(Train, args=read) == dataclasses.replace(measured, out=tmp_path)
    assert json.loads((tmp_path / "training.json").read_text())["vae"]["rates"]["fresh"]["successes"] == 2


def test_the_mean_over_seeds_is_of_policies_and_not_of_episodes(make_result: Callable[..., Result]) -> None:
    seeds = load(SCRIPT.with_name("seeds.py"))
    outcomes = {"a": [True] * 8 + [False] * 2, "b": [True] * 6 + [False] * 4, "c": [True] * 10}
    axes = seeds.summary({name: make_result(name, "everywhere", each) for name, each in outcomes.items()})
    (axis,) = axes
    assert axes[axis]["mean"]["rate"] == pytest.approx(0.8)
    # Student's t: three policies of 0.8, 0.6 and 1.0 have a standard error of 0.2 / sqrt(3), and t's quantile is 4.303.
    assert axes[axis]["mean"]["low"] == pytest.approx(0.8 - 4.3026527 * 0.2 / 3**0.5)
    assert axes[axis]["mean"]["high"] == pytest.approx(1.0)
    assert f"| {axis} | 80.0 % | 60.0 % | 100.0 % | 80.0 % (30.3 to 100.0) |" in seeds.table(axes)
    with pytest.raises(InvalidInputError, match="give two or more"):
        seeds.measure(seeds.Options((Path("alone"),), Path("never-made")))


def test_a_pair_is_told_by_the_episodes_that_only_one_of_them_did(make_result: Callable[..., Result]) -> None:
    pairs = load(SCRIPT.with_name("pairs.py"))
    first, second = [True] * 7 + [False] * 3, [True] + [False] * 8 + [True]
    rows = pairs.table(make_result("a", "everywhere", first), make_result("b", "everywhere", second)).splitlines()
    # Seven coins, one of them heads: 2 (1 + 7) / 2^7.
    assert rows[2].endswith(" | 7/10 | 2/10 | 6 | 1 | 0.12 | 0.12 |")


def test_failures_are_counted_where_the_cube_lay(make_result: Callable[..., Result]) -> None:
    failures = load(SCRIPT.with_name("failures.py"))
    cubes = [(0.16, -0.05, 0.0), (0.16, 0.13, 40.0), (0.26, 0.0, 44.0), (0.26, 0.0, 91.0)]

    def laid(rows: list[EpisodeRow]) -> list[EpisodeRow]:
        keys = ("x", "y", "yaw")
        return [
            row.model_copy(
                update={"scene": {"cube": dict(zip(keys, cube, strict=True))}, "failure": None if row.success else kind}
            )
            for row, cube, kind in zip(rows, cubes, ["", "dropped", "missed-grasp", ""], strict=True)
        ]

    result = make_result("x", "everywhere", [True, False, False, True], rows=laid)
    lines = failures.tables(list(result.rows), 2).splitlines()
    assert {"| dropped | 1 |", "| missed-grasp | 1 |"} <= set(lines)
    found = {lines[number - 2].split(",")[0]: line for number, line in enumerate(lines) if line.startswith("| failed")}
    assert found["| x"] == "| failed | 1/2 | 1/2 |"
    assert found["| y"] == "| failed | 1/3 | 1/1 |"
    # 40 degrees, of a cube that lies at atan(13 / 16) = 39: hardly turned.
    assert found["| turn"] == "| failed | 1/3 | 1/1 |"


def test_the_backbone_of_a_policy_fits_a_new_one(tmp_path: Path) -> None:
    policy = shipped_policies()["act-five-spots"]
    load(SCRIPT.with_name("backbone_of.py")).backbone_of(policy, tmp_path / "backbone")
    new = new_policy(policy_config(preset("cpu"), "cpu"))
    load_into(new.model.backbone, load_backbone(tmp_path / "backbone"))
    old = ACTPolicy.from_pretrained(policy).model.backbone.state_dict()
    assert all(torch.equal(value, old[name]) for name, value in new.model.backbone.state_dict().items())
