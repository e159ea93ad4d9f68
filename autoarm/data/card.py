"""The card of a dataset: its README.md, which says what was recorded and how to record it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from autoarm.data.collection import Collection
from gym_autoarm import ENV_ID, spec
from gym_autoarm.body_files import body_name
from gym_autoarm.scene_data import restore_scene
from gym_autoarm.variation import SHARE

CARD: Final = "README.md"
_TAGS: Final = ("AutoArm", "SO-101")


def dataset_card(folder: Path, collection: Collection) -> str:
    """The card of the dataset in `folder`, Markdown under the header that the Hugging Face Hub reads."""
    from lerobot.datasets.utils import DatasetInfo, create_lerobot_dataset_card

    info = DatasetInfo.from_dict(json.loads((folder / "meta/info.json").read_text()))
    tags = [*_TAGS, *(["simulation"] if _is_simulated(collection) else [])]
    return str(create_lerobot_dataset_card(tags, info, dataset_description=describe(collection)))


def describe(collection: Collection) -> str:
    """What a collection holds, in Markdown."""
    settings, episodes = collection.settings, collection.episodes
    frames = sum(episode.frames for episode in episodes)
    places = f"{len(settings.spots)} spots, {settings.episodes} episodes at each" if settings.spots else "any place"
    if settings.area != spec.WORK_AREA or not settings.spots:
        (x_low, x_high), (y_low, y_high) = settings.area
        places += f", x {x_low} to {x_high} m and y {y_low} to {y_high} m"
    order = "in shuffled order" if settings.order == "shuffled" else "one place after the other"
    lines = [
        f"{len(episodes)} demonstrations ({frames} frames, {spec.FPS} a second) of an SO-101 arm that has to"
        f" {spec.TASK}: the cube at {places}, {order}.",
        "",
        f"- Environment: `{collection.env_id}`, frames of {settings.image_size[0]} x {settings.image_size[1]} pixels"
        f" from the cameras {' and '.join(spec.CAMERAS)}",
        "- Driven by "
        + ("AutoArm's scripted expert" if collection.teleop is None else f"a person ({collection.teleop})"),
        "- States are joint positions, actions goal positions: degrees, the gripper 0 (closed) to 100 (open)",
    ]
    if _is_simulated(collection):
        body = body_name(restore_scene(settings.scene).body) or "one of its own, in `collection.json`"
        lines.append(f"- Simulated arm: {body}")
        if settings.restaged is not None:
            lines.append(f"- Drawn again, {settings.restaged.copies} times each, from {settings.restaged.sha256}")
        if settings.vary:
            lines.append(
                f"- Drawn at random, each in {SHARE:.0%} of the episodes: {', '.join(settings.vary)}"
                " (`gym_autoarm.variation`)"
            )
    lines.append(f"- Random seed: {settings.seed}; " + ", ".join(f"{k} {v}" for k, v in collection.versions.items()))
    return "\n".join(lines)


def _is_simulated(collection: Collection) -> bool:
    return collection.env_id == ENV_ID
