"""More sections of the page that `autoarm.interp.report` writes: what layers know, and what an action hangs on."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from autoarm.bench.suite import load_suite
from autoarm.dataset import read_info
from autoarm.figures.interp_absorption import absorption_bars
from autoarm.figures.interp_attribution import attribution_overlay
from autoarm.figures.interp_lens import action_lens_curves
from autoarm.figures.style import FAINT, POLICY_COLOURS, new_figure
from autoarm.interp.absorption import absorption, used
from autoarm.interp.attribution import action_target, curves, feature_ablation, mean_observation
from autoarm.interp.lens import action_lens
from autoarm.interp.ood import Detector, fit_detector, score_scenes, suite_scenes
from autoarm.interp.probes import PIXELS, collect_features, control_rows, group_folds, predict_numbers, r_squared
from autoarm.interp.report import Material, Section, Text, section
from autoarm.interp.tokens import IMAGE_PREFIX
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

_SUITE: Final = "five-spots-v1"
_LOOKS: Final = 64
_ROWS: Final = 200
"""Observations for probes, and most numbers of an observation."""


@section("probes")
def probes(material: Material) -> Section:
    """From which layer on the cube's place can be read off, at places that the probe was not shown."""
    sample = material.sample
    rows = material.rows(_ROWS)
    cube, episode = sample.cube[rows], sample.episode[rows]
    if not np.isfinite(cube).all():
        raise InvalidInputError(
            "the dataset does not say where the cube lay", field="dataset", cure="use one of `autoarm collect`"
        )
    spots = len(np.unique(sample.spot[rows])) > 1
    groups = sample.spot[rows] if spots else episode
    layers = range(len(material.act.model.encoder.layers))
    sites = [*(f"backbone.{camera}" for camera in material.layout.grids), *(f"encoder.{n}.out" for n in layers)]
    sites.append("decoder.out")
    features = collect_features(material.act, sample.batches(material.policy, rows), sites, "mean", _ROWS)
    other = cube[control_rows(episode, material.rng("probes"))]
    folds = group_folds(groups)
    found: list[dict[str, Any]] = [
        {
            "site": name,
            "cube": float(r_squared(cube, predict_numbers(features[name], cube, folds, groups)).mean()),
            "control": float(r_squared(other, predict_numbers(features[name], other, folds, groups)).mean()),
        }
        for name in [PIXELS, *sites]
        if name in features
    ]
    with new_figure(7.5, 0.4 * len(found) + 1.0) as figure:
        axes = figure.subplots()
        for number, (kind, label) in enumerate({"cube": "where the cube lay", "control": "another episode’s"}.items()):
            values = np.clip([row[kind] for row in found], -0.5, 1)
            axes.barh(
                np.arange(len(found)) + 0.4 * number - 0.2, values, 0.38, color=POLICY_COLOURS[number], label=label
            )
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.set_yticks(np.arange(len(found)), [str(row["site"]) for row in found])
        axes.invert_yaxis()
        axes.set_xlabel("variance explained (below −0.5 drawn at −0.5)")
        figure.legend(loc="outside upper center", ncols=2)
    best = max(found, key=lambda row: float(row["cube"]))
    where = "spots" if spots else "episodes"
    return Section(
        "Does it know where the cube is?",
        f"A straight line through {best['site']} tells where the cube lay, at {where} that it was not fitted to, with"
        f" {best['cube']:.2f} of the variance explained; {best['control']:.2f} if asked for another episode’s.",
        [
            Text(
                "A probe is a linear reading of what a layer says. It is fitted to some"
                f" {where} and asked about the others, so that it cannot succeed by recognising them. 1 is perfect, 0"
                " is as good as always guessing the middle, and below 0 is worse than that."
            ),
            material.picture("probes", figure, found, "Variance of the cube's place explained at each layer.",
                             f"{len(rows)} observations, averaged over tokens; raw pixels for comparison."),
            Text(
                "That something can be read off does not mean that the policy uses it. With a handful of spots, few"
                " lines fit and extrapolating to another spot is hard: a low number need not mean a blind layer.",
                small=True,
            ),
        ],
    )  # fmt: skip


@section("depth")
def depth(material: Material) -> Section:
    """How early in the encoder the action is there."""
    lens = action_lens(material.act, material.sample.batch(material.policy, material.rows(_LOOKS)))
    figure, rows = action_lens_curves({material.policy.name: lens})
    distance = lens.distance().mean(axis=1)
    half = next(
        (n for n, value in zip(lens.layers, distance, strict=True) if value <= distance[0] / 2), lens.layers[-1]
    )
    return Section(
        "How deep does it think?",
        f"After {half} of {lens.layers[-1]} encoder layers the decoded action is at least halfway to what it will be.",
        [
            Text("The decoder is given what the tokens say after each layer, as if no further ones followed."),
            material.picture("depth", figure, rows, "Distance of the early action from the final one, by layer.",
                             "Root mean square over the chunk, in the policy’s own units.", wide=False),
            Text(
                "The decoder was trained on the last layer’s language; an early layer may know more than it can say"
                " this way.",
                small=True,
            ),
        ],
    )  # fmt: skip


@section("state")
def state(material: Material) -> Section:
    """By which tokens the arm's own state comes to the action."""
    rows = material.rows(_LOOKS)
    batch = material.sample.batch(material.policy, rows)
    if "observation.state" not in batch or len(rows) < 2:
        raise InvalidInputError("joints of two observations are needed", field="dataset", cure="use another")
    order = material.rng("state").permutation(len(rows))
    found = absorption(material.act, batch, batch["observation.state"][np.roll(order, 1)[np.argsort(order)]].cpu())
    figure, drawn = absorption_bars({material.policy.name: found})
    means = found.means()
    return Section(
        "How do the joints reach the action?",
        f"When only the joints are exchanged, {means['direct']:.2f} of the effect leaves the encoder through their own"
        f" token and {means['indirect']:.2f} through those of the views.",
        [
            Text(
                "The joints enter as one token. In the encoder the views’ tokens can take up what it says. To see who"
                " carries it in the end, the joints are replaced by those of another moment, and at the encoder’s"
                " output one group of tokens at a time is."
            ),
            material.picture("state", figure, drawn, "Shares of the joints' effect by token group.",
                             "1 is the whole effect of other joints; shares need not add up.", wide=False),
            Text(
                f"The action answers to the joints at all in {100 * used(found):.0f} % of these observations. Joints"
                " that contradict the views are something it has never seen, and it may answer in a way of its own.",
                small=True,
            ),
        ],
    )  # fmt: skip


@section("attribution")
def attribution(material: Material) -> Section:
    """Which patches a joint's next goal hangs on, at one moment, and whether that is so."""
    sample = material.sample
    cameras = [camera for camera in spec.CAMERAS if camera in material.layout.grids]
    if not cameras:
        raise InvalidInputError("this policy has no camera", field="policy", cure="use another")
    row = int(np.flatnonzero(sample.episode == sample.episode[0])[0])
    batch = sample.batch(material.policy, [row])
    baseline = mean_observation(sample.batch(material.policy, material.rows(_LOOKS)), material.act)
    joint = 0
    slot = material.act.config.chunk_size // 2
    target = action_target(joint, slot)
    found = feature_ablation(material.act, batch, target, baseline)
    patches = {camera: found.inputs[f"{IMAGE_PREFIX}{camera}"][0] for camera in cameras}
    frames = {camera: sample.pixels[row, spec.CAMERAS.index(camera)] for camera in cameras}
    what = spec.JOINTS[joint].replace("_", " ")
    figure, drawn = attribution_overlay(frames, patches, what)
    test = curves(material.act, batch, target, baseline, found.inputs, material.rng("attribution"), points=6, draws=3)
    areas = {name: test.area(name) for name in ("deletion", "random_deletion")}
    return Section(
        "What does one decision hang on?",
        f"Hiding patches and joints in the order found undoes the {what}’s goal faster than a random order does: area"
        f" {areas['deletion']:.2f} against {areas['random_deletion']:.2f} (smaller is faster)."
        if areas["deletion"] < areas["random_deletion"]
        else f"No order found undoes the {what}’s goal faster than a random one: area {areas['deletion']:.2f} against"
        f" {areas['random_deletion']:.2f}; do not read the map.",
        [
            Text(
                "Each patch in turn is replaced by the mean of many observations, and the change of one number, where"
                f" the {what} is to be {slot} steps later, is its contribution."
            ),
            material.picture("attribution", figure, drawn, f"Contribution of each patch to the goal of the {what}.",
                             f"Start of episode {sample.episode[row]}."),
            Text(
                "Patches that say the same stand in for each other, and then neither seems to matter. One moment and"
                " one joint: another has another map.",
                small=True,
            ),
        ],
    )  # fmt: skip


@section("unfamiliar")
def unfamiliar(material: Material) -> Section:
    """How far scenes of other kinds are from the training data, to the policy's own eyes."""
    sample = material.sample
    train, held = sample.split(0.2, material.rng("unfamiliar"))
    detector = fit_detector(material.act, sample.batches(material.policy, train), sample.batches(material.policy, held))
    rows = _scene_rows(material, detector)
    within = detector.distance.scores(material.act, sample.batches(material.policy, held))
    drawn = rows or [{"scenes": "held-out frames", "quantile": q, "median": float(np.quantile(within, q))}
                     for q in (0.05, 0.25, 0.5, 0.75, 0.95)]  # fmt: skip
    with new_figure(7.5, 0.32 * len(drawn) + 1.0) as figure:
        axes = figure.subplots()
        names = [str(row["scenes"] if rows else f"quantile {row['quantile']:.2f}") for row in drawn]
        axes.barh(np.arange(len(drawn)), [float(row["median"]) for row in drawn], color=POLICY_COLOURS[0])
        axes.axvline(detector.threshold, color=FAINT, linestyle="--")
        axes.set_yticks(np.arange(len(drawn)), names)
        axes.invert_yaxis()
        axes.set_xlabel("distance from the training data (dashed: what 5 % of held-out frames exceed)")
    told = [row for row in rows if float(row["auroc"]) > 0.9]
    return Section(
        "Does it notice what is new?",
        f"{len(told)} of {len(rows) - 1} other kinds of scenes are told from training’s own in more than 9 of 10 pairs."
        if rows
        else f"Held-out frames lie up to {detector.threshold:.1f} from the others, 5 % of them beyond.",
        [
            Text(
                "What the image backbone makes of a frame is compared with what it made of the training frames: how"
                " many standard deviations away it is. Episodes that were held out say how far is usual."
            ),
            material.picture("unfamiliar", figure, drawn, "Distance of scenes from the training data.",
                             "Median of the first views of scenes of each kind." if rows else "Held-out frames."),
            Text("Far away does not mean that it fails there, nor near that it succeeds.", small=True),
        ],
    )  # fmt: skip


def _scene_rows(material: Material, detector: Detector) -> list[dict[str, Any]]:
    if not material.scenes:
        return []
    suite = load_suite(_SUITE)
    scenes = suite_scenes(suite, material.scenes)
    size = read_info(material.sample.dataset).image_size
    return score_scenes(material.policy, {"feature distance": detector.distance}, scenes, next(iter(scenes)), size)
