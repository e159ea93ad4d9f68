"""What the page shows of a feature, as HTML with the pictures in it, so that no file has to be served."""

from __future__ import annotations

import io
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from autoarm.explorer.records import FeatureRecords
from autoarm.figures.style import FAINT, POLICY_COLOURS, new_figure
from autoarm.pages.pictures import data_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from autoarm.explorer.records import Frame


_REMARK = (
    "Episodes: the effective number of episodes that it is active in. Memorisation: 0 if it is equally active in all"
    " episodes, 1 if in one alone; by chance: the value expected from its rarity alone. A feature that is active at"
    " other tokens (joints, latent) has no patch to colour."
)


def facts(records: FeatureRecords, feature: int) -> str:
    """A feature in numbers."""
    records.activations.check(feature)
    rank = records.ranks[feature]
    cells = {
        "active in": f"{100 * rank.frequency:.1f} % of the observations",
        "episodes": f"{rank.episodes:.1f} of {len(records.episodes)}",
        "memorisation": f"{rank.memorisation:.2f} (by chance {rank.chance:.2f})",
        "maximum": f"{rank.maximum:.2f}",
        "where": ", ".join(f"{name} {100 * share:.0f} %" for name, share in records.whereabouts(feature).items()),
    }
    parts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in cells.items())
    return f'<dl class="facts">{parts}</dl><p class="remark">{_REMARK}</p>'


def gallery(records: FeatureRecords, feature: int, count: int, *, per_episode: bool, moving: bool = False) -> str:
    """Moments at which a feature is most active, both views side by side and tinted; if `moving`, clips around them."""
    examples = records.examples(feature, count, per_episode=per_episode)
    if not examples:
        return "<p>This feature is active at no observation.</p>"
    figures = []
    for each in examples:
        about = escape(f"episode {each.episode}, step {each.step}: {each.activation:.2f}")
        address = _clip(*records.clip(feature, each.observation)) if moving else _jpeg(each.views)
        picture = f'<img src="{address}" alt="{about}">'
        figures.append(f"<figure>{picture}<figcaption>{about}</figcaption></figure>")
    heading = '<h3>Where it is strongest</h3><p class="remark">Top and lateral view, coloured where it is active.</p>'
    return f'{heading}<div class="gallery">{"".join(figures)}</div>'


def curve(records: FeatureRecords, feature: int, episode: int) -> str:
    """Activation of a feature over the steps of an episode."""
    steps, values = records.curve(feature, episode)
    with new_figure(6.4, 2.4) as figure:
        axes = figure.subplots()
        axes.plot(steps, values, color=POLICY_COLOURS[0], marker=".")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"step of episode {episode}")
        axes.set_ylabel("activation")
    return _picture(figure, f"Feature {feature} over the steps of episode {episode}")


def table(records: FeatureRecords, feature: int) -> str:
    """Mean activation by the cube's position, the table seen from above with the arm at the bottom."""
    places, means = records.places(feature)
    if not len(places):
        return "<p>The dataset does not say where the cube lay.</p>"
    with new_figure(4.2, 3.6) as figure:
        axes = figure.subplots()
        # x points ahead of the arm and y to its left, which from above is up and left.
        drawn = axes.scatter(-places[:, 1], places[:, 0], c=means, cmap="viridis", vmin=0, edgecolors=FAINT)
        axes.set_aspect("equal")
        axes.set_xlabel("right of the arm, m")
        axes.set_ylabel("ahead of it, m")
        figure.colorbar(drawn, label="mean activation", shrink=0.8)
    return _picture(figure, f"Mean activation of feature {feature} by where the cube lay")


def _picture(figure: Figure, alt: str) -> str:
    data = io.BytesIO()
    figure.savefig(data, format="png")
    address = data_uri("image/png", data.getvalue())
    return f'<img src="{address}" alt="{escape(alt)}" style="max-width:100%;height:auto">'


def _clip(frames: list[Frame], seconds: list[float]) -> str:
    """Frames as an animated picture that repeats for ever."""
    data = io.BytesIO()
    first, *others = (Image.fromarray(np.ascontiguousarray(frame)) for frame in frames)
    durations = [max(1, round(1000 * each)) for each in seconds]
    first.save(data, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, quality=70, method=0)
    return data_uri("image/webp", data.getvalue())


def _jpeg(frame: Frame) -> str:
    data = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame)).save(data, "JPEG", quality=85)
    return data_uri("image/jpeg", data.getvalue())
