"""The track of a policy follows from what was recorded of what it learnt from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from autoarm.data.collect import collection_settings
from autoarm.data.collection import SIDECAR
from autoarm.policies.describe import describe_policy
from autoarm.policies.lookup import ReplayPolicy
from autoarm.policies.scripted import ExpertPolicy, NoOpPolicy, RandomPolicy
from autoarm.policies.track import track_of, track_of_training
from autoarm.policies.trained_on import (
    FILE,
    IMAGENET,
    RANDOM,
    UNKNOWN,
    Beginning,
    Demonstrations,
    TrainedOn,
    read_trained_on,
)
from autoarm.results.result import PolicyRecord, Result
from gym_autoarm import ENV_ID
from gym_autoarm.errors import InvalidFileError

RESULTS = Path(__file__).parents[3] / "benchmarks/results/five-spots-v1"


def trained_on(
    spots="five", per_spot=10, episodes=None, scene=None, env_id=ENV_ID, backbone=RANDOM, beginning=None
) -> TrainedOn:
    settings = collection_settings(spots, per_spot, episodes, 0, (96, 128), "h264")
    settings = settings.model_copy(update={"scene": scene or {}})
    shown = Demonstrations(sha256="00" * 32, env_id=env_id, settings=settings)
    return TrainedOn(demonstrations=shown, backbone=backbone, beginning=beginning)


@pytest.mark.parametrize(
    ("record", "track"),
    [
        (trained_on(), "five-spots"),
        (trained_on(backbone=IMAGENET), "five-spots"),
        (trained_on(spots="centre,near-left", per_spot=25), "five-spots"),
        (trained_on(scene={"body": {"name": "so101-12v"}}), "five-spots"),
        (trained_on(per_spot=11), "open"),
        (trained_on(spots="centre,near-left", per_spot=26), "open"),
        (trained_on(spots="everywhere", episodes=50), "open"),
        (trained_on(spots="spread", episodes=50), "open"),
        (trained_on(spots="centre,0.2:0.05"), "open"),
        (trained_on(scene={"surface": "mat"}), "open"),
        (trained_on(env_id="autoarm_hardware/PickIntoBox-v0"), "open"),
        (trained_on(backbone="pretraining on rendered scenes"), "open"),
        (trained_on(backbone=UNKNOWN), "unknown"),
        (trained_on(backbone=None, beginning=Beginning(sha256="11" * 32, track="five-spots")), "five-spots"),
        (trained_on(backbone=None, beginning=Beginning(sha256="11" * 32, track="open")), "open"),
        (trained_on(backbone=None, beginning=Beginning(sha256="11" * 32, track="unknown")), "unknown"),
        (trained_on(per_spot=11, backbone=UNKNOWN), "open"),  # whatever the backbone was
        (TrainedOn(demonstrations=Demonstrations(sha256="00" * 32), backbone=RANDOM), "open"),
    ],
)
def test_the_rule(record, track):
    assert track_of_training(record) == track


def test_what_a_checkpoint_says_comes_back(tmp_path):
    record = trained_on(backbone=IMAGENET)
    record.save(tmp_path)
    assert read_trained_on(tmp_path) == record
    (tmp_path / FILE).write_text('{"backbone": "x"}')
    with pytest.raises(InvalidFileError) as caught:
        read_trained_on(tmp_path)
    assert caught.value.field == "demonstrations"
    assert read_trained_on(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("policy", [ExpertPolicy(), NoOpPolicy(), RandomPolicy()])
def test_what_learnt_nothing_has_no_track(policy):
    assert describe_policy(policy).track == "none"


class Own:
    name = "own"
    needs_images = False


def test_what_says_nothing_is_unknown():
    assert describe_policy(Own()).track == "unknown"
    assert track_of(PolicyRecord(name="p", kind="lerobot", sha256="00" * 32)) == "unknown"
    assert track_of(PolicyRecord(name="p", kind="custom")) == "unknown"
    assert track_of(PolicyRecord(name="p", kind="lerobot", sha256="00" * 32, track="open")) == "open"


def test_a_baseline_is_on_the_track_of_its_dataset(tiny_dataset, tmp_path):
    assert describe_policy(ReplayPolicy(tiny_dataset)).track == "five-spots"
    edited = tmp_path / "edited"
    shutil.copytree(tiny_dataset, edited)
    collection = json.loads((edited / SIDECAR).read_text())
    collection["settings"]["spots"] = []
    (edited / SIDECAR).write_text(json.dumps(collection))
    assert describe_policy(ReplayPolicy(edited)).track == "open"
    (edited / SIDECAR).unlink()
    assert describe_policy(ReplayPolicy(edited)).track == "open"


def test_results_that_are_older_than_tracks_have_one_by_their_digests():
    found = {file.stem: track_of(Result.load(file).policy) for file in RESULTS.glob("*.json")}
    assert found == {
        **dict.fromkeys(("expert", "no-op", "random"), "none"),
        **dict.fromkeys(("replay", "nearest", "nearest-state", "nearest-image", "rbf", "position-fed"), "five-spots"),
        **dict.fromkeys(("act-five-spots", "blind-act-five-spots"), "five-spots"),
        **dict.fromkeys(("act-five-spots-pretrained", "diffusion-five-spots"), "open"),
    }


def test_a_record_without_a_track_is_written_as_before():
    assert "track" not in PolicyRecord(name="p", kind="custom").model_dump()
    assert PolicyRecord(name="p", kind="custom", track="open").model_dump()["track"] == "open"
