"""What a policy would do if its encoder ended earlier, as it is and through translators.

python docs/examples/action_lens.py act-five-spots
"""

from __future__ import annotations

from pathlib import Path

import tyro

from autoarm.commands.interp.loading import load_act
from autoarm.figures.style import save_figure
from autoarm.interp.figures.lens import action_lens_curves
from autoarm.interp.methods.lens import action_lens
from autoarm.interp.methods.translator import fit_translators
from autoarm.interp.observations.rendered import grid_positions, rendered_frames
from gym_autoarm import spec


def main(
    policy: tyro.conf.Positional[str],
    out: Path = Path("outputs/lens"),
    positions: int = 4,
    image_size: tuple[int, int] = spec.IMAGE_SIZE,
) -> None:
    """Fit translators on a grid of `positions` squared, and look at the training spots and between them."""
    loaded = load_act(policy, image_size=image_size)
    grid = rendered_frames(grid_positions(positions, positions), image_size=image_size)
    translators = fit_translators(loaded.policy, grid.batches(loaded))
    trained = rendered_frames(list(spec.SPOTS.values()), image_size=image_size)
    between = rendered_frames([(0.20, 0.02), (0.22, 0.09), (0.18, 0.06), (0.24, 0.05)], image_size=image_size)
    lenses = {
        name: action_lens(loaded.policy, drawn.batch(loaded), translators)
        for name, drawn in (("training spots", trained), ("between them", between))
    }
    figure, rows = action_lens_curves(lenses)
    print(save_figure(figure, out / "action-lens", rows))


if __name__ == "__main__":
    tyro.cli(main)
