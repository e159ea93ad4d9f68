"""Pre- and post-processing of a policy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from autoarm.training.trainer import Trainer


def test_inference_sees_what_training_saw(tmp_path: Path, make_trainer: Callable[..., Trainer]) -> None:
    from autoarm.data.frames import resize

    run = make_trainer(tmp_path)
    frame = np.random.default_rng(0).integers(0, 256, (1, 480, 640, 3), np.uint8)
    small = torch.from_numpy(resize(frame, (32, 48))).permute(0, 3, 1, 2).float() / 255
    full = torch.from_numpy(frame).permute(0, 3, 1, 2).float() / 255
    cameras = ("observation.images.top", "observation.images.lateral")
    state = {"observation.state": torch.zeros(1, 6)}
    trained = run.processors[0]({**dict.fromkeys(cameras, small), **state})
    seen = run.processors[0]({**dict.fromkeys(cameras, full), **state})
    for camera in cameras:
        # Half a grey level, over the standard deviation of 0.25 that the test's statistics have.
        torch.testing.assert_close(trained[camera], seen[camera], atol=0.5 / 255 / 0.25 + 1e-5, rtol=0)
