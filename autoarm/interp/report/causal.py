"""Sections of the report: what the action depends on, measured by interventions."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from autoarm.figures.style import FAINT, new_figure
from autoarm.interp.figures.absorption import absorption_bars
from autoarm.interp.figures.attribution import attribution_overlay, faithfulness_curves
from autoarm.interp.figures.tracing import tracing_grid
from autoarm.interp.methods.ablation import knock_out, resample
from autoarm.interp.methods.absorption import absorption, responsive_share
from autoarm.interp.methods.attribution import action_target, curves, feature_ablation, mean_observation
from autoarm.interp.methods.steering import fit_probe, steer
from autoarm.interp.methods.tracing import DECODER_PARTS, PARTS, trace
from autoarm.interp.model.cached_backbone import precomputed_feature_maps
from autoarm.interp.model.capture import capture
from autoarm.interp.model.intervene import mean, zero
from autoarm.interp.model.tokens import IMAGE_PREFIX
from autoarm.interp.report.bars import grouped_bars
from autoarm.interp.report.report import Material, Section, Text, group_name, section, site_name
from gym_autoarm import spec
from gym_autoarm.errors import InvalidInputError

_LOOKS: Final = 64
"""Observations of a section that needs many forward passes."""
_MOVES: Final = 16
"""Number of moves of the cube that are traced."""


@section("tracing")
def tracing(material: Material) -> Section:
    """Which parts carry the information that the cube lies elsewhere."""
    places = material.table.xy
    chosen = np.unique(np.linspace(0, len(places) - 1, _MOVES).round().astype(int))
    chosen = chosen[np.linalg.norm(places[chosen] - places[::-1][chosen], axis=1) > 0]  # the middle would not move
    both = material.table.batch(material.policy)
    inputs = list(material.act.config.input_features)
    clean = {key: both[key][chosen] for key in inputs}
    source = {key: both[key].flip(0)[chosen] for key in inputs}
    found = trace(material.act, clean, source)
    figure, rows = tracing_grid(found)
    reached = dict(zip(DECODER_PARTS, np.nanmean(found.decoder, axis=0), strict=True))
    out = found.encoder[:, -1, :, PARTS.index("stream")]
    groups = dict(zip(found.groups, np.nanmean(out, axis=0), strict=True))
    said = ", ".join(f"{group_name(name)} {groups[name]:.2f}" for name in found.groups if name in material.layout.grids)
    return Section(
        "Which part carries the information that the cube lies elsewhere?",
        f"At the encoder’s output: {said} of the way to the new action. In the decoder {reached['skip']:.2f} of it"
        f" comes around the last MLP and {reached['mlp']:.2f} through it.",
        [
            Text(
                "The cube is drawn at one place, and again at the mirrored one; nothing else moves. The values"
                " of one part of the network with the cube there are put into its run with the cube here, and the"
                " effect is how far the action moves: 0, not at all; 1, to the action for the cube there."
            ),
            material.picture("tracing", figure, rows, "Effect of patching each layer, token group and part.",
                             f"Mean over {len(chosen)} moves of the cube, the arm at rest."),
            Text(
                "Two checks with known answers: all tokens together at the encoder’s output must give 1 (measured"
                f" {groups['all']:.3f}), and the decoder’s self-attention, which does not depend on the input, 0"
                f" (measured {reached['self-attention']:.3f}). Effects do not add up: later parts pass on the values"
                " of earlier ones.",
                small=True,
            ),
        ],
    )  # fmt: skip


@section("steering")
def steering(material: Material) -> Section:
    """Whether the action follows when a probe's reading of the cube's position is changed."""
    batch, places = material.table.batch(material.policy), material.table.xy
    inputs = list(material.act.config.input_features)
    known, new = slice(0, len(places) - 1, 2), slice(1, None, 2)
    clean, source = ({key: batch[key][rows] for key in inputs} for rows in (known, new))
    depth = len(material.act.model.encoder.layers)
    sites = ["tokens.in", *(f"encoder.{number}.out" for number in range(depth - 1)), "encoder.out"]
    rng = material.rng("steering")
    rows: list[dict[str, Any]] = []
    captured, there = (capture(material.act, [given], sites) for given in (clean, source))
    for site in sites:
        probe = fit_probe(captured[site], places[known])
        found = steer(material.act, clean, source, site, probe, places[new] - places[known], rng, draws=3)
        rows.append(
            {
                "site": site_name(site),
                "effect": float(np.nanmean(found.effect)),
                "random": float(np.nanmean(found.control)),
                "length": float(np.nanmean(found.norm)),
                "real length": _difference(captured[site].values, there[site].values),
            }
        )
    with new_figure(7.5, 0.42 * len(rows) + 1.0) as figure:
        axes = figure.subplots()
        grouped_bars(axes, rows, "site", {"effect": "the probe’s direction", "random": "random ones"})
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.axvline(1, color=FAINT, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_xlabel("effect on the action (dashed: as if the cube had really moved)")
        figure.legend(loc="outside upper center", ncols=2)
    best = max(rows, key=lambda row: float(row["effect"]))
    return Section(
        "Can its idea of the cube’s place be changed?",
        f"Moved along what a probe reads as the cube’s place, the action goes {best['effect']:.2f} of the way to that"
        f" of a cube that has moved ({best['site']}, where it goes furthest); along random directions, as far,"
        f" {best['random']:.2f}.",
        [
            Text(
                "A probe finds the direction in which the network’s numbers change when the cube moves. Here they are"
                " pushed along it, by the smallest change that makes the probe read the place next to it; the frames"
                " stay as they are. If the action follows, the direction is used; if it does not, it could be read but"
                " was not what the policy goes by."
            ),
            material.picture("steering", figure, rows, "Effect of pushing each layer along the probe's direction.",
                             f"Mean over {len(places[new])} moves to the place beside."),
            Text(
                f"There the push is {100 * best['length']:.1f} % as long as all the numbers it is added to; a cube that"
                f" really moves changes them by {100 * best['real length']:.0f} %, mostly in ways that the probe does"
                " not need. A weak effect says that the policy goes by more than this one direction.",
                small=True,
            ),
        ],
    )  # fmt: skip


def _difference(here: Any, there: Any) -> float:
    """Length of the difference relative to the first values; mean over observations."""
    lengths = [np.linalg.norm(values.reshape(len(here), -1), axis=1) for values in (there - here, here)]
    return float((lengths[0] / lengths[1]).mean())


@section("state")
def state(material: Material) -> Section:
    """Through which tokens the arm's state reaches the action."""
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
                "The joints enter as one token. In the encoder the views’ tokens can take up its information. To see"
                " which tokens carry it in the end, the joints are replaced by those of another moment, and then one"
                " group of tokens at a time is replaced at the encoder’s output."
            ),
            material.picture("state", figure, drawn, "Shares of the joints' effect by token group.",
                             "1 is the whole effect of other joints; shares need not add up.", wide=False),
            Text(
                f"The action answers to the joints at all in {100 * responsive_share(found):.0f} % of these"
                " observations. Joints that contradict the views are something it has never seen, and it may answer in"
                " a way of its own.",
                small=True,
            ),
        ],
    )  # fmt: skip


@section("attribution")
def attribution(material: Material) -> Section:
    """On which patches a joint's goal depends, at one moment, and a test of that map."""
    sample = material.sample
    cameras = material.cameras
    baseline = mean_observation(sample.batch(material.policy, material.rows(_LOOKS)), material.act)
    joint = 0
    slot = material.act.config.chunk_size // 2
    target = action_target(joint, slot)
    # The episode whose start differs most from the mean: shares of a small difference would be noise.
    firsts = np.flatnonzero(sample.step == 0)
    chunks = material.captured("action", firsts)
    usual = capture(material.act, [baseline], ["action"])["action"].values
    row = int(firsts[np.abs(chunks[:, slot, joint] - usual[0, slot, joint]).argmax()])
    batch = sample.batch(material.policy, [row])
    found = feature_ablation(material.act, batch, target, baseline)
    patches = {camera: found.inputs[f"{IMAGE_PREFIX}{camera}"][0] for camera in cameras}
    frames = {camera: sample.pixels[row, spec.CAMERAS.index(camera)] for camera in cameras}
    what = spec.JOINTS[joint].replace("_", " ")
    figure, drawn = attribution_overlay(frames, patches, what)
    test = curves(material.act, batch, target, baseline, found.inputs, material.rng("attribution"))
    tested, points = faithfulness_curves({"found order": test})
    areas = {name: test.area(name) for name in ("deletion", "random_deletion")}
    return Section(
        "What does one decision depend on?",
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
                             f"Start of episode {sample.episode[row]}: what raises the number, and what lowers it."),
            Text(
                "To test the map, patches and joints are hidden in its order, the weightiest first, and shown in it to"
                " a policy that sees none: a true map undoes the number early and brings it back early."
            ),
            material.picture("faithfulness", tested, points, "Deletion and insertion curves beside random orders.",
                             "1 is the number as it was, 0 that of the mean observation (beyond: past these); dashed,"
                             " grey: random orders."),
            Text(
                "Patches that say the same stand in for each other, and then neither seems to matter. One moment and"
                " one joint: another has another map.",
                small=True,
            ),
        ],
    )  # fmt: skip


@section("ablation")
def ablation(material: Material) -> Section:
    """How the action changes when a part is ablated."""
    rows = _ablated(material)
    with new_figure(7.5, 0.36 * len(rows) + 1.2) as figure:
        axes = figure.subplots()
        kinds = {kind: f"replaced by {kind}" for kind in ("zeros", "its mean", "another moment")}
        grouped_bars(axes, rows, "part", kinds)
        axes.set_xlabel("change of the action (1: as much as it varies between moments)")
        figure.legend(loc="outside upper center", ncols=3)
    worst = max(rows, key=lambda row: float(row["another moment"]))
    inert = next(row for row in rows if row["part"] == "decoder: self-attention")
    return Section(
        "What can it not do without?",
        f"Its actions change most when “{worst['part']}” gets its values of another moment"
        f" ({float(worst['another moment']):.2f} of the usual difference).",
        [
            Text(
                "One part at a time is replaced, in three ways, as each alone misleads: zeros may be unlike all"
                " of its values, its mean may be close to all of them, and another moment’s value is realistic but"
                " wrong."
            ),
            material.picture("ablation", figure, rows, "Change of the action when each part is replaced.",
                             f"Mean over {len(material.rows(_LOOKS))} observations, the policy not acting."),
            Text(
                "Check: the decoder’s self-attention comes before anything depends on the input, so its value at"
                f" another moment is the same; measured, {float(inert['another moment']):.1g}. Effects do not add"
                " up, as parts pass on what came before them, and what changes a planned action need not change"
                " whether the cube ends in the box.",
                small=True,
            ),
        ],
    )  # fmt: skip


def _ablated(material: Material) -> list[dict[str, Any]]:
    """A row for each part: how much each replacement changes the action, in units of the actions' spread."""
    act, layout = material.act, material.layout
    sites = {
        **{
            f"encoder layer {n}: {part}": f"encoder.{n}.{part}"
            for n in range(len(act.model.encoder.layers))
            for part in ("attention", "mlp")
        },
        "decoder: cross-attention": material.last("cross_attention"),
        "decoder: MLP": material.last("mlp"),
        "decoder: self-attention": "decoder.0.self_attention",
    }
    targets: dict[str, tuple[str, Any]] = {name: (site, None) for name, site in sites.items()}
    for group in layout.groups:
        said = group_name(group)
        targets[f"tokens in: {said}"] = ("tokens.in", {"token": layout.indices(group)})
    rng = material.rng("ablation")
    rows: list[dict[str, Any]] = []
    with precomputed_feature_maps(act, material.sample.batch(material.policy, material.rows(_LOOKS))) as (batch,):
        references = capture(act, [batch], ["action", *sorted({site for site, _ in targets.values()})])
        clean = references["action"].values
        typical = max(float(np.sqrt(((clean - clean.mean(axis=0)) ** 2).mean())), 1e-12)
        for name, (site, at) in targets.items():
            edits = {
                "zeros": zero(at),
                "its mean": mean(references[site], at),
                "another moment": resample(references[site], rng, at),
            }
            effects = {kind: float(knock_out(act, batch, {site: edit})[site].mean()) for kind, edit in edits.items()}
            rows.append({"part": name, **{kind: effect / typical for kind, effect in effects.items()}})
    return rows
