"""Sections of the report: what can be read from each layer (the cube's position, other facts, action, frames)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from autoarm.data.collection import SIDECAR
from autoarm.figures.style import FAINT, new_figure
from autoarm.interp.figures.lens import action_lens_curves, image_lens_strip
from autoarm.interp.figures.probes import probe_table
from autoarm.interp.methods.image_lens import image_lenses, small_frames
from autoarm.interp.methods.lens import action_lens
from autoarm.interp.methods.probes import (
    PIXELS,
    STATE,
    collect_features,
    group_folds,
    predict_numbers,
    probe_sites,
    r_squared,
    random_weights,
)
from autoarm.interp.methods.translator import fit_translators
from autoarm.interp.observations.probe_data import dataset_batches, dataset_frames, frame_labels, input_size
from autoarm.interp.report.bars import grouped_bars
from autoarm.interp.report.report import Material, Section, Text, section, site_name
from gym_autoarm import spec

_LOOKS: Final = 64
"""Observations of a section that needs many forward passes."""
_FITTED: Final = 128
"""Observations that translators are fitted to, of other episodes."""
_DRAWN: Final = 300
"""Frames that decoders are fitted to and tested on."""
_KINDS: Final = {"trained": "this policy", "untrained": "random weights", "shuffled": "this policy, places shuffled"}


@section("probes")
def probes(material: Material) -> Section:
    """From which layers a probe reads the cube's position, tested at positions that it was not fitted to."""
    places = material.table.xy
    depth = len(material.act.model.encoder.layers)
    sites = [*(f"backbone.{camera}" for camera in material.layout.grids), "tokens.in"]
    sites += [*(f"encoder.{number}.out" for number in range(depth)), "decoder.out"]
    other = places[material.rng("probes").permutation(len(places))]
    groups = np.arange(len(places))
    trained, untrained = (
        collect_features(policy, material.table.batches(material.policy), sites)
        for policy in (material.act, random_weights(material.act, material.seed))
    )

    def score(values: Any, wanted: Any) -> float:
        guessed = predict_numbers(values, wanted, group_folds(groups), groups)
        return float(r_squared(wanted, guessed).mean())

    rows: list[dict[str, Any]] = []
    for name in [PIXELS, *sites]:
        if name in trained:
            kinds = (score(trained[name], places), score(untrained[name], places), score(trained[name], other))
            rows.append({"site": site_name(name), **dict(zip(_KINDS, kinds, strict=True))})
    with new_figure(7.5, 0.5 * len(rows) + 1.0) as figure:
        axes = figure.subplots()
        drawn = [row | {kind: max(row[kind], -0.25) for kind in _KINDS} for row in rows]
        grouped_bars(axes, drawn, "site", _KINDS)
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.set_xlim(-0.27, 1.02)
        axes.set_xlabel("variance of the cube’s place explained (below −0.25 drawn at −0.25)")
        figure.legend(loc="outside upper center", ncols=3)
    inside = [row for row in rows if row["site"] != site_name(PIXELS)]
    best, last = max(inside, key=lambda row: float(row["trained"])), inside[-1]
    blocks: list[Any] = [
        Text(
            "A probe is a linear prediction from a layer’s output. The cube is drawn at"
            f" {len(places)} places all over the work area, the arm at rest; the probe is fitted to four fifths of"
            " them and tested on the others, so that it cannot succeed by recognising them. 1 is perfect, 0 as"
            " good as always guessing the middle, below 0 worse than that."
        ),
        material.picture("probes", figure, rows, "Variance of the cube's place explained at each layer.",
                         "Every layer’s numbers as they are, or as 1024 random sums of them; raw pixels on top."),
        Text(
            "What the same network with random weights, or the raw pixels, give as well does not come from training:"
            " a place can be read off any picture. That something can be read off does not mean that the policy uses"
            " it; see below.",
            small=True,
        ),
    ]  # fmt: skip
    if (material.sample.dataset / SIDECAR).is_file():
        blocks += _facts(material)
    return Section(
        "Does it know where the cube is?",
        "The share of the cube’s place that can be told, at places that the probe was not fitted to, is"
        f" {best['trained']:.2f} where it is best ({best['site']}) and {last['trained']:.2f} at the end"
        f" ({last['site']}); with random weights it is {best['untrained']:.2f} and {last['untrained']:.2f}.",
        blocks,
    )


def _facts(material: Material) -> list[Any]:
    """Probes for other facts, on the dataset's own frames."""
    every = max(1, len(material.sample.episodes) // len(material.sample))
    labels = frame_labels(material.sample.dataset).every(every)
    frames = dataset_frames(material.sample.dataset, input_size(material.policy, material.image_size))
    depth = len(material.act.model.encoder.layers)
    sites = [*(f"backbone.{camera}" for camera in material.layout.grids), "encoder.0.out"]
    sites += [f"encoder.{depth - 1}.out"] * (depth > 1) + ["decoder.out"]
    batches = list(dataset_batches(material.policy, frames, labels))
    features = collect_features(material.act, batches, sites)
    control = collect_features(random_weights(material.act, material.seed), batches, sites[-1:])
    features[f"{sites[-1]}, random weights"] = control[sites[-1]]
    order = [PIXELS, STATE, *sites, f"{sites[-1]}, random weights"]
    chosen = {
        ", ".join([site_name(name.split(", ")[0]), *name.split(", ")[1:]]): features[name]
        for name in order
        if name in features
    }
    split = "spot" if len(np.unique(labels.spot)) > 1 else "episode"
    scores = probe_sites(chosen, labels, ["start", "yaw", "joints", "action", "grasped", "stage"], split)
    figure, rows = probe_table(scores)
    return [
        Text(
            f"The same for other facts, on {len(labels)} frames of the dataset: where the cube lay at the start, how it"
            " is turned, the joints, the next action, whether the cube is held, and the stage of the task. Now the"
            f" probe is tested on {split}s that it was not fitted to."
        ),
        material.picture("facts", figure, rows, "How well each fact is read off each layer.",
                         "Large: the probe’s score; small: the same with another episode’s facts, which must be low."),
        Text(
            "With a handful of spots, predicting the place of another spot is extrapolation: a low number in “start”"
            " does not mean that the layer lacks it.",
            small=True,
        ),
    ]  # fmt: skip


@section("depth")
def depth(material: Material) -> Section:
    """After how many encoder layers the action can be decoded."""
    sample = material.sample
    others, own = sample.split(0.3, material.rng("depth"))
    fitted, looked = _spread(others, _FITTED), _spread(own, _LOOKS)
    translators = fit_translators(material.act, sample.batches(material.policy, fitted))
    lens = action_lens(material.act, sample.batch(material.policy, looked), translators)
    figure, rows = action_lens_curves({material.policy.name: lens})
    plain, tuned = lens.distance().mean(axis=1), lens.distance(translated=True).mean(axis=1)
    half = next((n for n, value in zip(lens.layers, plain, strict=True) if value <= plain[0] / 2), lens.layers[-1])
    return Section(
        "How deep does it think?",
        f"After {half} of {lens.layers[-1]} encoder layers the decoded action is at least halfway to the final one"
        f" ({plain[half]:.2f} away, from {plain[0]:.2f}). Translated, the encoder’s input is {tuned[0]:.2f} away.",
        [
            Text(
                "The decoder is given the tokens after each layer, as if no further layers followed (“as it is”). It"
                " was trained on the last layer’s output, so an early layer may hold more than the decoder can read"
                " this way; a translator, one linear map for all tokens, fitted to other episodes, maps the layer’s"
                " tokens to those of the last one (“translated”)."
            ),
            material.picture("depth", figure, rows, "Distance of the early action from the final one, by layer.",
                             "Root mean square over the chunk, in the policy’s own units; band: the middle half.",
                             wide=False),
            Text(
                f"{len(looked)} observations of episodes that no translator was fitted to. A translator is"
                " linear: information that it cannot map may be there all the same.",
                small=True,
            ),
        ],
    )  # fmt: skip


@section("pictures")
def pictures(material: Material) -> Section:
    """How much of the frames can be reconstructed from hidden states."""
    sample = material.sample
    cameras = material.cameras
    rows = material.rows(_DRAWN)
    places = [spec.CAMERAS.index(camera) for camera in cameras]
    frames = small_frames(sample.pixels[rows][:, places])
    sites = ["tokens.in", "encoder.out", material.last("cross_attention"), "decoder.out"]
    features = collect_features(material.act, sample.batches(material.policy, rows), sites)
    control = collect_features(
        random_weights(material.act, material.seed), sample.batches(material.policy, rows), ["decoder.out"]
    )
    chosen = {site_name(name): features[name] for name in (STATE, *sites) if name in features}
    chosen["random weights:\n" + site_name(sites[-1])] = control[sites[-1]]
    lenses = image_lenses(chosen, frames, sample.episode[rows])
    tested = np.flatnonzero(np.all([lens.tested for lens in lenses.values()], axis=0))
    shown = _spread(tested, 5)
    strips = [image_lens_strip(lenses, frames, shown, number) for number in range(len(cameras))]
    last, untrained = lenses[site_name(sites[-1])], list(lenses.values())[-1]
    blind = lenses.get(site_name(STATE))
    return Section(
        "What is left of the picture?",
        f"A decoder that is given the last layer’s numbers alone draws {100 * last.explained:.0f} % of what tells"
        f" frames apart, and {100 * untrained.explained:.0f} % from a network with random weights"
        + ("." if blind is None else f"; one that is told the joints alone {100 * blind.explained:.0f} %."),
        [
            Text(
                "For each layer a small linear decoder is fitted that draws both frames from the layer’s output, and is"
                " then tested on episodes that it was not fitted to. What it draws is in the layer; what it leaves out"
                " (look for the cube) may have been dropped, or be there in a form that it cannot read."
            ),
            *(
                material.picture(f"pictures-{camera}", figure, drawn, f"The {camera} view, as each layer shows it.",
                                 f"The {camera} view. From the second row on drawn from that layer alone; “explains” is"
                                 " in squares of grey levels, both views together, of which the arm makes up most.")
                for camera, (figure, drawn) in zip(cameras, strips, strict=True)
            ),
            Text(
                "The joints alone draw the arm, as they say where it is: only what a layer draws better than they do,"
                " the cube above all, is sight. That a picture survives a network is no feat of training: compare the"
                " last row. The decoder adds up frames it was fitted to: it cannot draw a cube where it saw none.",
                small=True,
            ),
        ],
    )  # fmt: skip


def _spread(rows: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Some of the rows, evenly."""
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(np.intp)
    return np.asarray(rows[np.unique(places)], np.intp)
