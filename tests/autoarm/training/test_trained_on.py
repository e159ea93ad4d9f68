"""A checkpoint says what it was trained on, which decides its track."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autoarm.data.frames import dataset_digest
from autoarm.policies.describe import describe_policy
from autoarm.policies.lerobot import LeRobotPolicy
from autoarm.policies.trained_on import IMAGENET, RANDOM, UNKNOWN, Beginning, read_trained_on
from autoarm.training.config import Phase, TrainConfig
from autoarm.training.export import export_policy
from autoarm.training.finetune import FinetuneConfig, finetune
from autoarm.training.presets import CPU
from autoarm.training.run import describe_backbone, train


def test_it_stays_with_the_policy_through_training_fine_tuning_and_export(
    tmp_path: Path, tiny_dataset: Path, small_config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path / "cache"))
    config = replace(small_config, phases=(Phase(1, 2),))
    trained = train(tiny_dataset, tmp_path / "run", config, device="cpu", quiet=True)
    record = read_trained_on(trained)
    assert record is not None
    assert record.demonstrations.sha256 == dataset_digest(tiny_dataset)
    assert record.backbone == RANDOM
    policy = describe_policy(LeRobotPolicy(trained))
    assert policy.track == "five-spots"

    tuned = finetune(trained, tiny_dataset, tmp_path / "tuned", FinetuneConfig(("head",), Phase(1, 2)))
    again = read_trained_on(tuned)
    assert again is not None
    assert again.beginning == Beginning(sha256=str(policy.sha256), track="five-spots")
    assert describe_policy(LeRobotPolicy(tuned)).track == "five-spots"

    shipped = export_policy(tmp_path / "tuned", tmp_path / "shipped")
    assert describe_policy(LeRobotPolicy(shipped)).track == "five-spots"


@pytest.mark.parametrize(
    ("config", "origin", "backbone"),
    [
        (CPU, None, RANDOM),
        (replace(CPU, policy={}), None, IMAGENET),
        (replace(CPU, policy={"pretrained_backbone_weights": "ResNet18_Weights.IMAGENET1K_V1"}), None, IMAGENET),
        (replace(CPU, policy={"pretrained_backbone_weights": "somebody/else"}), None, "somebody/else"),
        (replace(CPU, backbone="00" * 32), "pretraining on rendered scenes", "pretraining on rendered scenes"),
        (replace(CPU, backbone="00" * 32), None, UNKNOWN),
    ],
)
def test_what_a_backbone_begins_as(config: TrainConfig, origin: str | None, backbone: str) -> None:
    assert describe_backbone(config, origin) == backbone
