"""A policy made small enough to ship, and its model card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autoarm.policies.lerobot import LeRobotPolicy
from autoarm.results.result import Result, SuiteRecord
from autoarm.training.backbone import PRETRAINING, made_by, save_backbone
from autoarm.training.config import TrainConfig, with_backbone
from autoarm.training.data import ChunkDataset
from autoarm.training.export import export_policy, model_card
from autoarm.training.features import digest_of
from autoarm.training.trainer import Trainer
from gym_autoarm.errors import InvalidFileError


def test_the_card_says_how_the_backbone_was_made(
    tmp_path: Path,
    two_phases: TrainConfig,
    make_trainer: Callable[..., Trainer],
    demonstrations: ChunkDataset,
    stats: dict[str, Any],
) -> None:
    weights = make_trainer(tmp_path / "donor").policy.model.backbone.state_dict()
    config = with_backbone(two_phases, digest_of(weights))
    cards = {}
    for origin in (PRETRAINING, "taking it out of another policy", None):
        folder = tmp_path / str(origin).replace(" ", "-")
        save_backbone(folder / "backbone", weights, {} if origin is None else {"made_by": origin})
        run = Trainer(
            config,
            demonstrations,
            stats,
            folder / "run",
            "data",
            backbone=weights,
            backbone_made_by=made_by(folder / "backbone"),
        )
        run.run(until=1)
        cards[origin] = model_card("policy", folder / "run" / "pretrained_model")
    assert "positions of cube and gripper as labels, then frozen" in cards[PRETRAINING]
    assert "labels" not in cards["taking it out of another policy"]
    assert "made by taking it out of another policy, then frozen" in cards["taking it out of another policy"]
    assert "labels" not in cards[None]
    assert "does not tell" in cards[None]
    (tmp_path / "None" / "backbone" / "backbone.json").write_text("broken")
    with pytest.raises(InvalidFileError, match=r"backbone\.json: damaged"):
        made_by(tmp_path / "None" / "backbone")


def test_the_card_tells_how_other_training_seeds_did(
    tmp_path: Path, make_result: Callable[..., Result], make_trainer: Callable[..., Trainer]
) -> None:
    folder = make_trainer(tmp_path).run(until=1)
    seeds = [make_result("policy", "everywhere", [True] * wins + [False] * (10 - wins)) for wins in (7, 9, 5)]
    card = model_card("policy", folder, results=seeds[:1], seeds=seeds)
    assert "| all | 7 of 10 | 40 to 89 % |" in card
    assert "over 3 training seeds" in card
    assert "| all | 70.0 % | 50.0 % | 90.0 % |" in card
    suite = SuiteRecord.model_construct(name="suite", size="small")
    ours = [each.model_copy(update={"setting": each.setting.model_copy(update={"suite": suite})}) for each in seeds]
    of_axes = model_card("policy", folder, seeds=ours)
    assert "| all |" not in of_axes
    assert f"| {next(iter(seeds[0].groups))} | 70.0 % | 50.0 % | 90.0 % |" in of_axes


def test_an_exported_policy_acts_like_the_original(tmp_path: Path, make_trainer: Callable[..., Trainer]) -> None:
    folder = make_trainer(tmp_path / "run").run()
    exported = export_policy(tmp_path / "run", tmp_path / "small")
    original, small = LeRobotPolicy(folder), LeRobotPolicy(exported)
    size = (exported / "model.safetensors").stat().st_size
    assert size < 0.55 * (folder / "model.safetensors").stat().st_size
    rng = np.random.default_rng(0)
    observation = {
        "pixels": {camera: rng.integers(0, 256, (480, 640, 3), np.uint8) for camera in ("top", "lateral")},
        "agent_pos": rng.normal(0, 20, 6).astype(np.float32),
    }
    # float16 keeps eleven bits: a thousandth of the actions' spread of 20 degrees, and some more on the way.
    np.testing.assert_allclose(small.act(observation, {}), original.act(observation, {}), atol=0.2)
    card = (exported / "README.md").read_text()
    assert "6 steps of 4 samples with the backbone trained; seed 0" in card
    assert "from random weights" in card
