"""The sections of the page that `autoarm.interp.report` writes, in order. Another one is another function here."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from autoarm.figures.style import FAINT, POLICY_COLOURS, new_figure
from autoarm.interp.ablation import knock_out, resample
from autoarm.interp.attention_video import tint
from autoarm.interp.autoencoder.study import OWN, AutoencoderStudy, study_autoencoder
from autoarm.interp.autoencoder.train import TrainOptions
from autoarm.interp.cached_backbone import backbone_once
from autoarm.interp.capture import capture
from autoarm.interp.features import ranked, top_examples
from autoarm.interp.intervene import mean, zero
from autoarm.interp.memory import split_action
from autoarm.interp.report import Material, Picture, Section, Table, Text, section
from autoarm.interp.summary import effective_tokens, shares
from gym_autoarm import spec

_LOOKS: Final = 96
"""Observations of a section that needs many forward passes."""
_WORDS: Final = {"latent": "latent", "state": "joints", "environment": "environment"}


@section("network")
def network(material: Material) -> Section:
    """What the network is made of."""
    act, layout = material.act, material.layout
    config = act.config
    parts = {
        "image backbone": act.model.backbone,
        "encoder": act.model.encoder,
        "decoder": act.model.decoder,
        "action head": act.model.action_head,
    }
    total = sum(value.numel() for value in act.parameters())
    rows = [
        [name, f"{(count := sum(v.numel() for v in part.parameters())):,}", _percent(count / total)]
        for name, part in parts.items()
    ]
    grids = ", ".join(
        f"{rows} × {columns} patches of the {name} view" for name, (rows, columns) in layout.grids.items()
    )
    return Section(
        "What is in there?",
        f"{total / 1e6:.1f} million numbers turn {layout.size} tokens into {config.chunk_size} future goal positions.",
        [
            Text(
                f"The backbone turns each view into a coarse grid of features. Those become tokens: {grids}, and"
                f" {_list([_WORDS[name] for name in layout.vectors])}. In {len(act.model.encoder.layers)} encoder"
                " layers"
                " the tokens exchange information; in the decoder each future action (a slot of the chunk) fetches what"
                f" it needs from them, in {config.n_heads} ways at once (heads)."
            ),
            Text("The latent is of use in training alone; when the arm acts it is always nought.", small=True),
            Table(["Part", "Parameters", "Share"], rows),
        ],
    )


@section("attention-shares")
def attention_shares(material: Material) -> Section:
    """How attention divides between joints, latent and cameras."""
    site = _last(material, "cross_attention.weights")
    weights = _captured(material, site, 200)  # (batch, head, slot, token)
    found = {group: values.mean(axis=(0, 2)) for group, values in shares(weights, material.layout).items()}
    spread = effective_tokens(weights).mean(axis=(0, 2))
    heads = weights.shape[1]
    even = {group: len(material.layout.indices(group)) / material.layout.size for group in found}
    rows = [
        {
            "head": head,
            **{group: float(values[head]) for group, values in found.items()},
            "effective_tokens": float(spread[head]),
        }
        for head in range(heads)
    ]
    with new_figure(7.5, 3.4) as figure:
        axes = figure.subplots()
        left = np.zeros(heads + 1)
        for colour, (group, values) in zip(POLICY_COLOURS, found.items(), strict=False):
            bar = np.append(values, even[group])
            axes.barh(np.arange(heads + 1), bar, left=left, color=colour, label=_WORDS.get(group, f"{group} view"))
            left += bar
        axes.set_yticks(np.arange(heads + 1), [*(f"head {head}" for head in range(heads)), "if even"])
        axes.invert_yaxis()
        axes.set_xlabel("share of the attention")
        axes.set_xlim(0, 1)
        figure.legend(loc="outside upper center", ncols=len(found))
    overall = {group: float(values.mean()) for group, values in found.items()}
    said = _list([f"{_WORDS.get(group, f'the {group} view')} {_percent(value)}" for group, value in overall.items()])
    return Section(
        "What does it attend to?",
        f"On average over heads and future actions: {said}.",
        [
            Text(
                "Attention is how the decoder fetches information: each future action spreads 100 % over all tokens."
                " Every head does so in its own way."
            ),
            material.picture("attention-shares", figure, rows, f"Attention shares of {heads} heads: {said}.",
                             "Mean over observations and future actions; the last bar is even attention."),
            Text(
                f"A head spreads over {spread.min():.0f} to {spread.max():.0f} of {material.layout.size} tokens"
                " (the number of tokens that, attended alike, would have the same entropy). When the decoder comes to"
                " look, tokens have already exchanged information: much attention to the views does not mean that"
                " joints do not matter, nor the other way round. What matters is measured below.",
                small=True,
            ),
        ],
    )  # fmt: skip


@section("attention-maps")
def attention_maps(material: Material) -> Section:
    """Where in the views it looks, at four moments of an episode."""
    layout, sample = material.layout, material.sample
    cameras = [camera for camera in spec.CAMERAS if camera in layout.grids]
    if not cameras:
        return Section("Where does it look?", "Nowhere: this policy has no camera.", ())
    own = np.flatnonzero(sample.episode == sample.episode[0])
    moments = own[np.unique(np.linspace(0, len(own) - 1, 4).round().astype(int))]
    weights = _capture_rows(material, _last(material, "cross_attention.weights"), moments).mean(axis=(1, 2))
    maps = {camera: weights[:, layout.camera(camera)] for camera in cameras}
    low, top = (float(pick([pick(grid) for grid in maps.values()])) for pick in (np.min, np.max))
    rows: list[dict[str, Any]] = []
    with new_figure(2.6 * len(moments), 2.25 * len(cameras) + 0.3) as figure:
        panels = figure.subplots(len(cameras), len(moments), squeeze=False)
        for line, camera in zip(panels, cameras, strict=True):
            for axes, row, grid in zip(line, moments, maps[camera], strict=True):
                axes.imshow(tint(sample.pixels[row, spec.CAMERAS.index(camera)], grid, top, low))
                axes.set_axis_off()
                axes.set_title(f"{camera}, step {sample.step[row]}", fontsize=9)
                rows += [
                    {"camera": camera, "step": int(sample.step[row]), "row": y, "column": x, "share": float(value)}
                    for (y, x), value in np.ndenumerate(grid)
                ]
    even = 1 / layout.size
    return Section(
        "Where does it look?",
        f"A patch gets {_percent(low)} to {_percent(top)} of the attention here; even would be {_percent(even)}.",
        [
            material.picture(
                "attention-maps",
                figure,
                rows,
                "Camera frames of one episode, tinted by attention.",
                f"Episode {sample.episode[0]}: no colour is {_percent(low)}, full colour {_percent(top)} of the"
                " attention (mean over heads and future actions of the last decoder layer).",
            ),
            Text(
                "A mean over heads is much the same everywhere, so the colour begins at the smallest value rather than"
                " at nought: pale patches are attended too. A patch is pink because information was fetched from there,"
                " which need not have been about that patch.",
                small=True,
            ),
        ],
    )


@section("memory-split")
def memory_split(material: Material) -> Section:
    """How much of the action comes through the last MLP, exactly."""
    split = split_action(material.act, material.sample.batch(material.policy, material.rows(_LOOKS)))
    parts = {"around it (skip)": split.skip, "through the MLP": split.mlp, "constant": split.constant}
    around = split.action - split.action.mean(axis=0)
    variance = (around**2).sum(axis=(0, 1))
    explained = {
        name: ((values - values.mean(axis=0)) * around).sum(axis=(0, 1)) / np.maximum(variance, 1e-12)
        for name, values in parts.items()
    }
    joints = list(spec.JOINTS)
    rows = [{"joint": joint, **{name: float(v[n]) for name, v in explained.items()}} for n, joint in enumerate(joints)]
    with new_figure(7.5, 3.2) as figure:
        axes = figure.subplots()
        for number, (name, values) in enumerate(explained.items()):
            axes.bar(
                np.arange(len(joints)) + 0.27 * (number - 1), values, 0.25, color=POLICY_COLOURS[number], label=name
            )
        axes.axhline(0, color=FAINT, linewidth=0.8)
        axes.set_xticks(np.arange(len(joints)), [joint.replace("_", "\n") for joint in joints])
        axes.set_ylabel("part of the variation")
        figure.legend(loc="outside upper center", ncols=3)
    whole = {
        name: float(((v - v.mean(axis=0)) * around).sum() / max(float(variance.sum()), 1e-12))
        for name, v in parts.items()
    }
    return Section(
        "How much does its last memory decide?",
        f"{_percent(whole['through the MLP'])} of how its actions differ between observations comes through the"
        f" decoder’s MLP, {_percent(whole['around it (skip)'])} around it.",
        [
            Text(
                "The decoder’s MLP can be read as a memory: each of its units answers to a pattern and adds something"
                " to the action when it does. Behind it there is nothing but scaling and a linear map, so that every"
                " action is exactly a sum of what came through the MLP, what came around it, and a constant."
            ),
            material.picture(
                "memory-split",
                figure,
                rows,
                "Part of each joint's variation that comes through the MLP, around it, and as a constant.",
                f"The parts sum to 1 for each joint; the action is put together again to {split.error:.0e}.",
            ),
            Text(
                "Parts can be negative or above 1 where two paths work against each other. That something passes"
                " through a memory does not make it a lookup table; whether single units serve single episodes is"
                " another question.",
                small=True,
            ),
        ],
    )


@section("ablation")
def ablation(material: Material) -> Section:
    """What breaks when a part is taken out."""
    rows = _ablated(material)
    with new_figure(7.5, 0.36 * len(rows) + 1.2) as figure:
        axes = figure.subplots()
        for number, kind in enumerate(("zeros", "its mean", "another moment")):
            axes.barh(np.arange(len(rows)) + 0.27 * (number - 1), [float(row[kind]) for row in rows], 0.25,
                      color=POLICY_COLOURS[number], label=f"replaced by {kind}")  # fmt: skip
        axes.set_yticks(np.arange(len(rows)), [str(row["part"]) for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("change of the action (1: as different as two random moments are from their mean)")
        figure.legend(loc="outside upper center", ncols=3)
    worst = max(rows, key=lambda row: float(row["another moment"]))
    inert = next(row for row in rows if row["part"] == "decoder: self-attention")
    return Section(
        "What can it not do without?",
        f"Its actions change most when “{worst['part']}” says what it said at another moment"
        f" ({float(worst['another moment']):.2f} of the usual difference).",
        [
            Text(
                "One part at a time is replaced, in three ways, as each alone misleads: noughts may be unlike anything"
                " the part ever says, its mean is nearly what it always says, and another moment’s value is natural but"
                " wrong."
            ),
            material.picture("ablation", figure, rows, "Change of the action when each part is replaced.",
                             f"Mean over {len(material.rows(_LOOKS))} observations, the policy not acting."),
            Text(
                "Check: the decoder’s self-attention comes before anything depends on the input, and so what it says"
                f" at another moment is the same; measured, {float(inert['another moment']):.1g}. Effects do not add"
                " up, as parts carry on what came before them, and what changes a planned action need not change"
                " whether the cube ends in the box.",
                small=True,
            ),
        ],
    )  # fmt: skip


def _ablated(material: Material) -> list[dict[str, Any]]:
    """A row a part: by how much each replacement changes the action, in units of how much actions differ."""
    act, layout = material.act, material.layout
    sites = {
        **{
            f"encoder layer {n}: {part}": f"encoder.{n}.{part}"
            for n in range(len(act.model.encoder.layers))
            for part in ("attention", "mlp")
        },
        "decoder: cross-attention": _last(material, "cross_attention"),
        "decoder: MLP": _last(material, "mlp"),
        "decoder: self-attention": "decoder.0.self_attention",
    }
    targets: dict[str, tuple[str, Any]] = {name: (site, None) for name, site in sites.items()}
    for group in layout.groups:
        said = _WORDS.get(group, f"{group} view")
        targets[f"tokens in: {said}"] = ("tokens.in", {"token": layout.indices(group)})
    rng = material.rng("ablation")
    rows: list[dict[str, Any]] = []
    with backbone_once(act, material.sample.batch(material.policy, material.rows(_LOOKS))) as (batch,):
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


@section("features")
def features(material: Material) -> Section:
    """A sparse autoencoder of the encoder's output, beside its controls."""
    options = TrainOptions(features=256, k=16, samples=material.samples, batch=256, seed=material.seed)
    study = study_autoencoder(material.policy, material.sample, "encoder.out", options)
    own = study.own
    columns = ["Autoencoder of", "Variance explained", "Features a token", "Dead", "Memorised", "Action loss recovered"]
    keys = ("explained_variance", "l0", "dead", "memorised", "action_recovered")
    table = [
        [str(row["autoencoder"]), *(f"{row[key]:.1f}" if key == "l0" else _percent(float(row[key])) for key in keys)]
        for row in study.rows()
    ]
    blocks: list[Any] = [
        Text(
            "What a layer says is a list of numbers that mean nothing one by one. A sparse autoencoder rewrites it as a"
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
            "What a network with random weights shows as well does not come of training. A frozen decoder keeps the"
            " features’ directions as they were drawn. A feature counts as memorised if it is there in fewer episodes"
            " than its rarity explains; with a handful of places for the cube, that can be the place.",
            small=True,
        )
    )
    random = study.trained["random weights"]
    return Section(
        "What are its building blocks?",
        f"{options.features} features, {own.quality.l0:.0f} at a time, explain"
        f" {_percent(own.quality.explained_variance)} of what the encoder says; {_percent(own.memorised)} of them are"
        f" memorised, and {_percent(random.memorised)} in a network with random weights.",
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
    """The strongest moments of the features that vary most, one an episode, with where they are."""
    sample, found = study.sample, study.activations
    chosen = [rank.feature for rank in ranked(study.trained[OWN].ranks, "variance")[:4]]
    columns = min(4, len(np.unique(sample.episode)))
    cameras = [camera for camera in spec.CAMERAS if camera in found.grids]
    if not chosen or not cameras:
        return None
    rows: list[dict[str, Any]] = []
    with new_figure(2.6 * columns, 2.2 * len(chosen)) as figure:
        panels = figure.subplots(len(chosen), columns, squeeze=False)
        for line, feature in zip(panels, chosen, strict=True):
            top = float(found.activation[found.feature == feature].max())
            for axes in line:
                axes.set_axis_off()
            for axes, observation in zip(line, top_examples(found, feature, columns, sample.episode), strict=False):
                maps = found.maps(feature, int(observation))
                camera = max(cameras, key=lambda name: float(maps[name].max()))
                axes.imshow(tint(sample.pixels[observation, spec.CAMERAS.index(camera)], maps[camera], top))
                episode, step = int(sample.episode[observation]), int(sample.step[observation])
                axes.set_title(f"feature {feature}: {camera}, episode {episode}, step {step}", fontsize=6.5)
                rows.append(
                    {
                        "feature": feature,
                        "episode": episode,
                        "step": step,
                        "camera": camera,
                        "activation": float(maps[camera].max()),
                    }
                )
    alt = "Top moments of four features, with their patches."
    caption = "Each row a feature: where it is most, one moment an episode, pink where it is."
    return material.picture("features", figure, rows, alt, caption)


def _captured(material: Material, site: str, count: int) -> Any:
    return _capture_rows(material, site, material.rows(count))


def _capture_rows(material: Material, site: str, rows: Any) -> Any:
    return capture(material.act, material.sample.batches(material.policy, rows), [site])[site].values


def _last(material: Material, part: str) -> str:
    return f"decoder.{len(material.act.model.decoder.layers) - 1}.{part}"


def _percent(part: float) -> str:
    if not np.isfinite(part):
        return "–"
    return f"{100 * part:.1f}\N{NO-BREAK SPACE}%"


def _list(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
