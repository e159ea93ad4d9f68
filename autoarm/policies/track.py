"""The track of a policy: whether it learnt from no more than demonstrations at the five spots.

Suites ask how far a skill goes that was shown at five places. Of two policies the one that was shown more places, or
more pictures of the scene, is not the better for it; so every result says on which track its policy is:

- `five-spots`: its demonstrations are 50 at most, recorded in simulation at the five spots (`autoarm collect --spots
  five`), with whatever body, nothing else varied; its backbone began as random weights, or as those that ImageNet
  gave, by themselves or distilled on these demonstrations.
- `open`: it is known to have learnt from anything else: other places, more episodes, a backbone trained on scenes.
- `unknown`: nothing was recorded of what it learnt from.
- `none`: it learnt nothing: the scripted expert, and the floors.

The track follows from what was recorded when the policy was trained (`autoarm.policies.trained_on`), or from the
dataset that a baseline is made from. It is as honest as these records are.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from autoarm.policies.trained_on import DISTILLED, IMAGENET, RANDOM, UNKNOWN, Demonstrations, TrainedOn
from autoarm.results.result import PolicyRecord, Track
from gym_autoarm import ENV_ID, spec

MOST_DEMONSTRATIONS: Final = 50
"""Ten at each of the five spots."""

_KNOWN: Final[dict[str, Track]] = {
    # Weights of the shipped policies, and of one measured with them: docs/training.md and their model cards.
    "bd5f993402b200b86b4b7179288a310b983a6f52ca8de2b296c411f27ef1f766": "five-spots",  # act-five-spots
    "093bd4e5c38abc2b400a6b3291abea70788c2f1b343fa6c7d0588f39bb977059": "open",  # act-five-spots-pretrained
    "4ad33a13fab00e5e8b0bf6ca1fcca517d43ff164f8de1a8e13ee4c8d45fc22ec": "open",  # act-everywhere
    "94db51b0cf6e05324bffdb46c8de96c837d1c5835b8d5620f0a124f6a90ff174": "open",  # diffusion-five-spots
    # The fifty demonstrations that they and the baselines of benchmarks/results/five-spots-v1 were made from.
    "05cfe7400bcc84ec2238d881dce1320c5dc8112dbd6e7f26d272e3708a6fc764": "five-spots",
}
"""Tracks of weights and of demonstrations that are older than the records."""


def track_of(record: PolicyRecord) -> Track:
    """The track of a policy that was measured: the recorded one, or what its digests say."""
    if record.track is not None:
        return record.track
    demonstrations = record.config.get("dataset_sha256")
    digests = [each for each in (record.sha256, demonstrations) if isinstance(each, str)]
    if digests:
        return track_together(_KNOWN.get(each, "unknown") for each in digests)
    return "none" if record.kind == "baseline" else "unknown"


def track_of_training(record: TrainedOn) -> Track:
    """The track of a checkpoint, from what it was trained on."""
    # Of several datasets one alone may be what was shown at the spots: together they are more.
    tracks: list[Track] = ["open"] if record.further else []
    tracks += map(track_of_demonstrations, (record.demonstrations, *record.further))
    if record.beginning is not None:
        tracks.append(record.beginning.track)
    if record.backbone == UNKNOWN:
        tracks.append("unknown")
    elif record.backbone not in (None, RANDOM, IMAGENET, DISTILLED):
        tracks.append("open")
    return track_together(tracks)


def track_of_dataset(folder: Path, sha256: str) -> Track:
    """The track of what is made from a dataset on disk, whose digest may be known."""
    return _KNOWN.get(sha256) or track_of_demonstrations(Demonstrations.of(folder, sha256))


def track_of_demonstrations(demonstrations: Demonstrations) -> Track:
    """The track of what learns from a dataset. One that does not say where its cubes lay is for the open one."""
    settings = demonstrations.settings
    if settings is None or demonstrations.env_id != ENV_ID:
        return "open"
    at_spots = bool(settings.spots) and set(settings.spots) <= set(spec.SPOTS)
    usual = settings.scene.keys() <= {"body"} and not settings.vary
    return "five-spots" if at_spots and usual and settings.total <= MOST_DEMONSTRATIONS else "open"


def track_together(tracks: Iterable[Track]) -> Track:
    """The track of a policy that learnt from all of these."""
    found = set(tracks)
    return next((track for track in ("open", "unknown") if track in found), "five-spots")
