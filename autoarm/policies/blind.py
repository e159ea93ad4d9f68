"""A checkpoint whose eyes are covered: how much of its success needs no seeing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from autoarm.policies.describe import describe_policy
from autoarm.policies.lookup import Frame, fingerprint, read_first_observations
from autoarm.policies.protocol import Policy
from autoarm.policies.track import track_of, track_of_dataset, track_together
from autoarm.results.result import PolicyRecord, Role
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError


class BlindPolicy:
    """Another policy that is shown one constant picture: the mean of the demonstrations' first frames.

    The mean frame is as bright and as coloured as what the policy was trained on, with the arm at rest and no cube
    that could be told from the others.

    Args:
        policy: The policy to blind.
        dataset: Dataset whose first frames are averaged.
        image_size: Height and width of the frames that `policy` is shown.

    Raises:
        InvalidInputError: If the policy takes no images.
    """

    role: Final[Role] = "control"
    needs_images = False

    def __init__(self, policy: Policy, dataset: Path, image_size: tuple[int, int] = spec.IMAGE_SIZE) -> None:
        if not policy.needs_images:
            raise InvalidInputError(f"{policy.name} looks at nothing anyway", field="policy", cure="name a checkpoint")
        self.name = f"blind:{policy.name}"
        self.needs_poses = getattr(policy, "needs_poses", False)
        self.decides_once = getattr(policy, "decides_once", False)
        self._policy = policy
        self._dataset = dataset
        self.pixels = mean_first_frames(dataset, image_size)

    def describe(self) -> PolicyRecord:
        """The other policy's record, and the dataset of the mean frames."""
        record = describe_policy(self._policy)
        sha256 = fingerprint(self._dataset)
        blind = {"dataset": str(self._dataset), "dataset_sha256": sha256}
        changes = {
            "name": self.name,
            "role": self.role,
            "track": track_together([track_of(record), track_of_dataset(self._dataset, sha256)]),
            "path": None if record.path is None else f"blind:{record.path}",
            "config": record.config | blind,
        }
        return record.model_copy(update=changes)

    def reset(self, seed: int, info: Mapping[str, Any]) -> None:
        self._policy.reset(seed, info)

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> NDArray[np.float32]:
        return self._policy.act({**observation, "pixels": self.pixels}, info)


def mean_first_frames(dataset: Path, image_size: tuple[int, int]) -> dict[str, Frame]:
    """The mean first frame of the demonstrations, camera by camera, uint8 `(*image_size, 3)`."""
    looks = read_first_observations(dataset)
    height, width = image_size
    means = {}
    for camera in spec.CAMERAS:
        mean = np.mean([look.pixels[camera] for look in looks], axis=0).round().astype(np.uint8)
        means[camera] = np.asarray(Image.fromarray(mean).resize((width, height), Image.Resampling.BOX))
    return means
