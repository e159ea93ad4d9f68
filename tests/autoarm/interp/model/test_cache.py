"""The cache returns what capture would, and never what belongs to another policy, dataset, site or code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from lerobot.policies.act.modeling_act import ACTPolicy

from autoarm.interp.model import cache as module
from autoarm.interp.model.cache import MANIFEST, cached_capture
from autoarm.interp.model.capture import capture
from autoarm.interp.model.intervene import intervene, zero
from gym_autoarm.errors import InvalidFileError, InvalidInputError

Observe = Callable[..., dict[str, torch.Tensor]]
Batches = list[dict[str, torch.Tensor]]
SITES = ["backbone.top", "encoder.0.attention.weights", "decoder.mlp.keys"]


@pytest.fixture
def batches(two_cameras: ACTPolicy, observe: Observe) -> Batches:
    return [observe(two_cameras, seed, size) for seed, size in ((0, 2), (1, 1), (2, 3))]


@pytest.fixture
def passes(two_cameras: ACTPolicy, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each forward pass."""
    made: list[int] = []
    forward = two_cameras.model.forward

    def count(batch: dict[str, torch.Tensor]) -> object:
        made.append(len(made))
        return forward(batch)

    monkeypatch.setattr(two_cameras.model, "forward", count)
    return made


def test_the_second_time_comes_from_disk_and_is_the_same(
    two_cameras: ACTPolicy, batches: Batches, passes: list[int], tmp_path: Path
) -> None:
    first = cached_capture(tmp_path, two_cameras, iter(batches), SITES, "data")
    assert len(passes) == 3
    again = cached_capture(tmp_path, two_cameras, iter(batches), SITES, "data")
    assert len(passes) == 3
    for name, expected in capture(two_cameras, batches, SITES).items():
        for found in (first[name], again[name]):
            assert isinstance(found.values, np.memmap)
            assert found.axes == expected.axes
            np.testing.assert_array_equal(found.values, expected.values)
    with pytest.raises(ValueError, match="read-only"):
        again["backbone.top"].values[:] = 0


def test_only_the_first_batch_is_read_of_a_hit(two_cameras: ACTPolicy, batches: Batches, tmp_path: Path) -> None:
    cached_capture(tmp_path, two_cameras, batches, SITES, "data")

    def one() -> Iterator[dict[str, torch.Tensor]]:
        yield batches[0]
        raise AssertionError("the second batch was asked for")

    assert cached_capture(tmp_path, two_cameras, one(), SITES, "data")["backbone.top"].size("batch") == 6


def test_an_alias_is_the_same_site(two_cameras: ACTPolicy, batches: Batches, passes: list[int], tmp_path: Path) -> None:
    cached_capture(tmp_path, two_cameras, batches, ["decoder.mlp"], "data")
    assert list(cached_capture(tmp_path, two_cameras, batches, ["decoder.0.mlp"], "data")) == ["decoder.0.mlp"]
    assert len(passes) == 3


def change_a_weight(policy: ACTPolicy, batches: Batches, patch: pytest.MonkeyPatch) -> None:
    with torch.no_grad():
        policy.model.action_head.weight[0, 0] += 1e-3


def change_the_heads(policy: ACTPolicy, batches: Batches, patch: pytest.MonkeyPatch) -> None:
    policy.config.n_heads = 2


def change_the_first_batch(policy: ACTPolicy, batches: Batches, patch: pytest.MonkeyPatch) -> None:
    batches[0]["observation.state"][0, 0] += 1e-3


def change_the_code(policy: ACTPolicy, batches: Batches, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module, "code_digest", lambda: "another")


def change_lerobot(policy: ACTPolicy, batches: Batches, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(module, "version", lambda package: "0.0.1")


@pytest.mark.parametrize(
    "change", [change_a_weight, change_the_heads, change_the_first_batch, change_the_code, change_lerobot]
)
def test_whatever_changes_is_captured_again(
    two_cameras: ACTPolicy,
    batches: Batches,
    passes: list[int],
    tmp_path: Path,
    change: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cached_capture(tmp_path, two_cameras, batches, SITES, "data")
    change(two_cameras, batches, monkeypatch)
    found = cached_capture(tmp_path, two_cameras, batches, SITES, "data")
    assert len(passes) == 6
    expected = capture(two_cameras, batches, SITES)
    np.testing.assert_array_equal(found["decoder.mlp.keys"].values, expected["decoder.mlp.keys"].values)


def test_other_data_and_sites_are_captured_apart(
    two_cameras: ACTPolicy, batches: Batches, passes: list[int], tmp_path: Path
) -> None:
    cached_capture(tmp_path, two_cameras, batches, SITES, "data")
    cached_capture(tmp_path, two_cameras, batches, SITES, "other data")
    cached_capture(tmp_path, two_cameras, batches, SITES[:2], "data")
    assert len(passes) == 9
    cached_capture(tmp_path, two_cameras, batches, SITES, "data")
    assert len(passes) == 9


def cut_an_array(folder: Path) -> None:
    file = folder / "1.npy"
    file.write_bytes(file.read_bytes()[:-8])


def remove_an_array(folder: Path) -> None:
    (folder / "0.npy").unlink()


def put_another_array(folder: Path) -> None:
    np.save(folder / "2.npy", np.zeros((6, 5, 47), np.float32))


def put_a_pickle(folder: Path) -> None:
    np.save(folder / "2.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def put_another_key(folder: Path) -> None:
    file = folder / MANIFEST
    file.write_text(file.read_text().replace('"data": "data"', '"data": "other"'))


def damage_the_manifest(folder: Path) -> None:
    (folder / MANIFEST).write_text("{")


@pytest.mark.parametrize(
    "damage",
    [cut_an_array, remove_an_array, put_another_array, put_a_pickle, put_another_key, damage_the_manifest],
)
def test_what_is_damaged_or_not_ours_is_captured_again(
    two_cameras: ACTPolicy, batches: Batches, passes: list[int], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    cached_capture(tmp_path, two_cameras, batches, SITES, "data")
    (folder,) = tmp_path.iterdir()
    damage(folder)
    found = cached_capture(tmp_path, two_cameras, batches, SITES, "data")
    assert len(passes) == 6
    for name, expected in capture(two_cameras, batches, SITES).items():
        np.testing.assert_array_equal(found[name].values, expected.values)


def test_an_interrupted_capture_leaves_nothing(two_cameras: ACTPolicy, batches: Batches, tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, torch.Tensor]]:
        yield from batches[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_capture(tmp_path, two_cameras, broken(), SITES, "data")
    assert not list(tmp_path.iterdir())


def test_edited_activations_are_never_kept(two_cameras: ACTPolicy, batches: Batches, tmp_path: Path) -> None:
    with intervene(two_cameras, {"encoder.0.mlp": zero()}):
        two_cameras.predict_action_chunk(batches[0])
        with pytest.raises(InvalidInputError, match="being edited"):
            cached_capture(tmp_path, two_cameras, batches, SITES, "data")
    assert not list(tmp_path.iterdir())


def test_bad_input_is_refused_before_anything_is_written(
    two_cameras: ACTPolicy, batches: Batches, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="no site"):
        cached_capture(tmp_path, two_cameras, batches, ["nowhere"], "data")
    with pytest.raises(InvalidInputError, match="no batch"):
        cached_capture(tmp_path, two_cameras, [], SITES, "data")
    with pytest.raises(InvalidInputError, match="the policy wants"):
        cached_capture(tmp_path, two_cameras, [{}], SITES, "data")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(InvalidFileError, match="cannot be written"):
        cached_capture(tmp_path / "file", two_cameras, batches, SITES, "data")
