"""Section of the report: features that a sparse autoencoder finds in the encoder's output."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from autoarm.figures.style import POLICY_COLOURS, new_figure
from autoarm.interp.autoencoder.features import ranked, top_examples
from autoarm.interp.autoencoder.study import OWN, AutoencoderStudy, study_autoencoder
from autoarm.interp.autoencoder.train import TrainOptions
from autoarm.interp.methods.attention_video import tint
from autoarm.interp.report.report import Material, Picture, Section, Table, Text, group_name, percent, section
from gym_autoarm import spec

_SHOWN: Final = 4
"""Features with their strongest moments."""


@section("features")
def features(material: Material) -> Section:
    """A sparse autoencoder of the encoder's output, beside its controls."""
    options = TrainOptions(features=256, k=16, samples=material.samples, batch=256, seed=material.seed)
    study = study_autoencoder(material.policy, material.sample, "encoder.out", options)
    own = study.own
    columns = ["Autoencoder of", "Variance explained", "Features a token", "Dead", "Memorised", "Action loss recovered"]
    keys = ("explained_variance", "l0", "dead", "memorised", "action_recovered")
    table = [
        [str(row["autoencoder"]), *(f"{row[key]:.1f}" if key == "l0" else percent(float(row[key])) for key in keys)]
        for row in study.rows()
    ]
    blocks: list[Any] = [
        Text(
            "A layer’s output is a list of numbers that mean little one by one. A sparse autoencoder rewrites it as a"
            " few out of many features, in the hope that each of those means something. It is trained on some episodes"
            " and measured on others."
        ),
        Table(columns, table, "The trained policy, and two controls that have learnt less"),
        _memorisation(material, study),
    ]
    if (picture := _examples(material, study)) is not None:
        blocks.append(picture)
    blocks.append(
        Text(
            "What a network with random weights shows as well does not come from training. A frozen decoder keeps the"
            " features’ directions as they were drawn. A feature counts as memorised if it is there in fewer episodes"
            " than its rarity explains; with a handful of places for the cube, that can be the place. How many do so"
            " depends on how many frames are looked at: compare the rows with each other alone.",
            small=True,
        )
    )
    random = study.trained["random weights"]
    return Section(
        "What are its building blocks?",
        f"{options.features} features, {own.quality.l0:.0f} at a time, explain"
        f" {percent(own.quality.explained_variance)} of the variance of the encoder’s output;"
        f" {percent(own.memorised)} of them are memorised, and {percent(random.memorised)} in a network with random"
        " weights.",
        blocks,
    )


def _memorisation(material: Material, study: AutoencoderStudy) -> Picture:
    edges = np.linspace(-0.2, 1, 25)
    rows: list[dict[str, Any]] = []
    with new_figure(7.5, 2.8) as figure:
        axes = figure.subplots()
        for colour, (name, each) in zip(POLICY_COLOURS, study.trained.items(), strict=False):
            excess = [rank.memorisation - rank.chance for rank in each.ranks if rank.frequency > 0]
            heights, _ = np.histogram(excess, edges)
            axes.stairs(heights / max(len(excess), 1), edges, color=colour, label=name, linewidth=2)
            rows += [{"autoencoder": name, "from": float(a), "to": float(b), "features": int(count)}
                     for a, b, count in zip(edges, edges[1:], heights, strict=False)]  # fmt: skip
        axes.set_xlabel("memorisation beyond chance (0: in all episodes alike, 1: in one alone)")
        axes.set_ylabel("part of the features")
        figure.legend(loc="outside upper center", ncols=3)
    return material.picture("memorisation", figure, rows, "How memorised features are, beside the controls.",
                            "Features by how few episodes they are there in.")  # fmt: skip


def _examples(material: Material, study: AutoencoderStudy) -> Picture | None:
    """The strongest moments of some features that vary most, one for each episode, with their patches."""
    sample, found = study.sample, study.activations
    order = [rank.feature for rank in ranked(study.trained[OWN].ranks, "variance")]
    patches = np.concatenate([material.layout.indices(camera) for camera in found.grids] or [np.empty(0, np.int64)])
    seen = [feature for feature in order if np.isin(found.token[found.feature == feature], patches).mean() > 0.5]
    # Features of the joints' token vary most by far: prefer those on patches, which can be shown.
    chosen = (seen[: _SHOWN - 1] + [feature for feature in order if feature not in seen])[:_SHOWN]
    columns = min(4, len(np.unique(sample.episode)))
    cameras = [camera for camera in spec.CAMERAS if camera in found.grids]
    if not chosen or not cameras:
        return None
    rows: list[dict[str, Any]] = []
    with new_figure(2.5 * columns, 2.25 * len(chosen)) as figure:
        panels = figure.subplots(len(chosen), columns, squeeze=False)
        for line, feature in zip(panels, chosen, strict=True):
            top = float(found.activation[found.feature == feature].max())
            for axes in line:
                axes.set_axis_off()
            for axes, observation in zip(line, top_examples(found, feature, columns, sample.episode), strict=False):
                tokens = found.tokens(feature, int(observation))
                where = _group(material, int(tokens.argmax()))
                camera = where if where in cameras else cameras[0]
                grid = found.maps(feature, int(observation))[camera]
                axes.imshow(tint(sample.pixels[observation, spec.CAMERAS.index(camera)], grid, top))
                episode, step = int(sample.episode[observation]), int(sample.step[observation])
                said = f"feature {feature}, {group_name(where)}\nepisode {episode}, step {step}"
                axes.set_title(said, fontsize=8, fontweight="normal")
                rows.append(
                    {
                        "feature": feature,
                        "episode": episode,
                        "step": step,
                        "where": where,
                        "activation": float(tokens.max()),
                    }
                )
    alt = "Top moments of four features, with their patches."
    caption = (
        "Each row a feature: where it is most, one moment an episode, coloured where it is. Those without colour are at"
        " other tokens than patches, such as the joints’."
    )
    return material.picture("features", figure, rows, alt, caption)


def _group(material: Material, token: int) -> str:
    """The group of an encoder token."""
    return next(group for group in material.layout.groups if token in material.layout.indices(group))
