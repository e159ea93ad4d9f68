"""Which pixels and joints the first goal of a joint depends on, and whether that is to be believed.

python docs/examples/attribution.py act-five-spots
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.figures.style import save_figure
from autoarm.interp.figures.attribution import attribution_overlay, faithfulness_curves
from autoarm.interp.methods.attribution import (
    action_target,
    curves,
    feature_ablation,
    integrated_gradients,
    mean_observation,
    patch_sums,
)
from autoarm.interp.model.tokens import IMAGE_PREFIX, token_layout
from autoarm.interp.observations.rendered import grid_positions, rendered_frames
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    out: Path = Path("outputs/attribution"),
    joint: int = 0,
    slot: int = 20,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
    most_steps: int = 1024,
) -> None:
    """Attribute a joint's goal, `slot` steps ahead, with the cube at the first training spot."""
    loaded = load_act(policy, image_size=image_size)
    network = loaded.policy
    drawn = rendered_frames([next(iter(spec.SPOTS.values()))], image_size=image_size)
    batch = drawn.batch(loaded)
    others = rendered_frames(grid_positions(3, 3), image_size=image_size).batch(loaded)
    baseline = mean_observation(others, network)
    target = action_target(joint, min(slot, network.config.chunk_size - 1))
    gradients = integrated_gradients(network, batch, target, baseline, most_steps=most_steps)
    print(f"{gradients.steps} steps, completeness error {gradients.error.max():.2%}")
    ranked = {
        "integrated gradients": patch_sums(gradients.inputs, token_layout(network, batch)),
        "feature ablation": feature_ablation(network, batch, target, baseline).inputs,
    }
    rng = np.random.default_rng(0)
    found = {name: curves(network, batch, target, baseline, patches, rng) for name, patches in ranked.items()}
    figure, rows = faithfulness_curves(found)
    save_figure(figure, out / "faithfulness", rows)
    views = {camera: frames[0] for camera, frames in drawn.pixels.items()}
    patches = {camera: ranked["integrated gradients"][f"{IMAGE_PREFIX}{camera}"][0] for camera in views}
    figure, rows = attribution_overlay(views, patches, f"the goal of {spec.JOINTS[joint]}")
    print(save_figure(figure, out / "attribution", rows))


if __name__ == "__main__":
    tyro.cli(main)
