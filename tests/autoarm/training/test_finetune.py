"""Fine-tuning: what changes, what stays, and that keeping what comes before changes nothing."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.act.configuration_act import ACTConfig
from lerobot.policies.act.modeling_act import ACTPolicy
from safetensors.torch import load_file

from autoarm.training.checkpoint import save_policy
from autoarm.training.config import Phase
from autoarm.training.finetune import FinetuneConfig, Finetuner, finetune
from autoarm.training.parts import parameters_of, part_names
from autoarm.training.presets import CPU
from autoarm.training.processors import make_processors
from gym_autoarm import spec
from gym_autoarm.errors import InvalidFileError, InvalidInputError

IMAGE_SIZE = (32, 48)
SMALL = {"dim_model": 32, "dim_feedforward": 48, "n_heads": 4, "n_encoder_layers": 2, "chunk_size": 8}
TRAINING = Phase(steps=3, batch_size=4, learning_rate=1e-3, warmup=0)


def write_policy(folder: Path, **changes: object) -> Path:
    torch.manual_seed(0)
    image = PolicyFeature(FeatureType.VISUAL, (3, *spec.IMAGE_SIZE))
    cameras = [f"observation.images.{camera}" for camera in spec.CAMERAS]
    fields = {**CPU.policy, **SMALL, "n_action_steps": 4, **changes}
    config = ACTConfig(
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (6,)),
            **dict.fromkeys(cameras, image),
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (6,))},
        device="cpu",
        **fields,  # type: ignore[arg-type]
    )
    joints = {"mean": torch.zeros(6), "std": torch.full((6,), 20.0)}
    colours = {"mean": torch.full((3, 1, 1), 0.5), "std": torch.full((3, 1, 1), 0.25)}
    stats = {"observation.state": joints, "action": joints, **dict.fromkeys(cameras, colours)}
    save_policy(folder, ACTPolicy(config), make_processors(config, stats, IMAGE_SIZE))
    return folder


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_policy(tmp_path_factory.mktemp("policy") / "act")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOARM_CACHE", str(tmp_path_factory.getbasetemp() / "finetune-cache"))


def changed(policy: Path, dataset: Path, *parts: str) -> dict[str, int]:
    """How many single weights of each parameter fine-tuning changed."""
    tuner = Finetuner(policy, dataset, FinetuneConfig(parts, TRAINING))
    before = load_file(policy / "model.safetensors")
    tuner.run()
    after = tuner.policy.state_dict()
    assert after.keys() == before.keys()
    assert all(parameter.requires_grad for parameter in tuner.policy.parameters())
    return {name: int((after[name] != value).sum()) for name, value in before.items() if (after[name] != value).any()}


@pytest.mark.parametrize(
    "part", ["decoder-mlp", "encoder-mlp-1", "cross-attention", "decoder-self-attention", "head", "transformer"]
)
def test_a_part_changes_and_nothing_else(policy: Path, tiny_dataset: Path, part: str) -> None:
    tuner = Finetuner(policy, tiny_dataset, FinetuneConfig((part,), TRAINING))
    names = set(parameters_of(tuner.policy, part))
    found = changed(policy, tiny_dataset, part).keys()
    assert found
    assert found <= names


def test_the_mlps_are_matched_in_size(policy: Path, tiny_dataset: Path) -> None:
    loaded = Finetuner(policy, tiny_dataset, FinetuneConfig(("head",), TRAINING)).policy
    sizes = {
        part: sum(value.numel() for value in parameters_of(loaded, part).values())
        for part in ("decoder-mlp", "encoder-mlp-0", "encoder-mlp-1")
    }
    # Two matrices with biases, and a norm.
    assert set(sizes.values()) == {2 * 32 * 48 + 48 + 32 + 2 * 32}


def test_parts_add_up(policy: Path, tiny_dataset: Path) -> None:
    assert changed(policy, tiny_dataset, "decoder-mlp", "head").keys() >= {
        "model.action_head.weight",
        "model.decoder.layers.0.linear1.weight",
    }


def test_a_random_subset_is_as_large_as_the_mlp(policy: Path, tiny_dataset: Path) -> None:
    counts = changed(policy, tiny_dataset, "random-subset")
    assert not any(name.startswith("model.backbone.") for name in counts)
    wanted = 2 * 32 * 48 + 48 + 32 + 2 * 32
    # Some weights have no gradient, those of units that are silent for instance.
    assert 0.5 * wanted < sum(counts.values()) <= wanted
    assert len(counts) > 10
    assert counts == changed(policy, tiny_dataset, "random-subset")


def test_adapters_are_merged(policy: Path, tiny_dataset: Path) -> None:
    pytest.importorskip("peft")
    assert changed(policy, tiny_dataset, "lora").keys() == {
        "model.decoder.layers.0.linear1.weight",
        "model.decoder.layers.0.linear2.weight",
    }


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("part", ["decoder-mlp", "lora", "encoder-mlp-0"])
def test_what_is_kept_gives_the_losses_of_the_images(
    tmp_path: Path, tiny_dataset: Path, part: str, pre_norm: bool
) -> None:
    folder = write_policy(tmp_path / "act", pre_norm=pre_norm)
    # In half the precision, Adam's first steps make as much of rounding as of gradients.
    config = FinetuneConfig((part,), TRAINING, dtype="float32")
    kept = Finetuner(folder, tiny_dataset, config).run()
    live = Finetuner(folder, tiny_dataset, replace(config, cached=False)).run()
    assert kept == pytest.approx(live, abs=1e-4)
    assert kept[-1] != kept[0]


@pytest.mark.parametrize("part", ["decoder-mlp", "encoder-mlp-0", "decoder-self-attention"])
def test_losses_are_those_of_the_policys_own_forward(
    policy: Path, tiny_dataset: Path, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = FinetuneConfig((part,), TRAINING, dtype="float32")
    lean = Finetuner(policy, tiny_dataset, config).run()
    monkeypatch.setattr("autoarm.training.finetune.lean_transformer", nullcontext)
    assert lean == pytest.approx(Finetuner(policy, tiny_dataset, config).run(), abs=1e-4)


def test_the_run_leaves_a_checkpoint_and_a_record(policy: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    folder = finetune(policy, tiny_dataset, tmp_path / "out", FinetuneConfig(("head",), TRAINING), command=["x"])
    weights = load_file(folder / "model.safetensors")
    assert weights.keys() == load_file(policy / "model.safetensors").keys()
    record = json.loads((tmp_path / "out" / "finetune.json").read_text())
    assert record["parameters"] == 32 * 6 + 6
    assert record["config"]["parts"] == ["head"]
    with pytest.raises(InvalidFileError, match="not empty"):
        finetune(policy, tiny_dataset, tmp_path / "out")


def test_bad_input(policy: Path, tiny_dataset: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"no part 'decoder_mlp'.*choose from decoder-mlp"):
        Finetuner(policy, tiny_dataset, FinetuneConfig(("decoder_mlp",)))
    with pytest.raises(InvalidInputError, match="stands alone"):
        Finetuner(policy, tiny_dataset, FinetuneConfig(("random-subset", "head")))
    with pytest.raises(InvalidInputError, match="from 1 to 2"):
        Finetuner(policy, tiny_dataset, FinetuneConfig(demonstrations=3))
    loaded = Finetuner(policy, tiny_dataset, FinetuneConfig(("head",), TRAINING)).policy
    assert "encoder-mlp-1" in part_names(loaded)
    assert "encoder-mlp-2" not in part_names(loaded)
