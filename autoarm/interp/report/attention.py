"""Sections of the report: the parts of the network, and its attention."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from autoarm.figures.style import POLICY_COLOURS, new_figure
from autoarm.interp.methods.attention_video import tint
from autoarm.interp.methods.summary import effective_tokens, shares
from autoarm.interp.methods.token_mask import TokenMasking, mask_tokens
from autoarm.interp.report.report import (
    WORDS,
    Material,
    Picture,
    Section,
    Table,
    Text,
    group_name,
    listed,
    percent,
    section,
)
from gym_autoarm import spec

_LOOKS: Final = 200
"""Observations to average over."""
_MASKED: Final = 48
"""Observations whose tokens are hidden, with many forward passes each."""


@section("network")
def network(material: Material) -> Section:
    """The parts of the network and their sizes."""
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
        [name, f"{(count := sum(v.numel() for v in part.parameters())):,}", percent(count / total)]
        for name, part in parts.items()
    ]
    rest = total - sum(value.numel() for part in parts.values() for value in part.parameters())
    rows.append(["embeddings, projections, and what training alone needs", f"{rest:,}", percent(rest / total)])
    grids = ", ".join(
        f"{rows} × {columns} patches of the {name} view" for name, (rows, columns) in layout.grids.items()
    )
    return Section(
        "What is in there?",
        f"{total / 1e6:.1f} million numbers turn {layout.size} tokens into {config.chunk_size} future goal positions.",
        [
            Text(
                f"The backbone turns each view into a coarse grid of features. Those become tokens: {grids}, and"
                f" {listed([WORDS[name] for name in layout.vectors])}. In {len(act.model.encoder.layers)} encoder"
                " layers the tokens exchange information; in the decoder each future action (a slot of the chunk)"
                f" fetches what it needs from them, in {config.n_heads} ways at once (heads)."
            ),
            Text("The latent is of use in training alone; when the arm acts it is always zero.", small=True),
            Table(["Part", "Parameters", "Share"], rows),
        ],
    )


@section("attention-shares")
def attention_shares(material: Material) -> Section:
    """How attention divides between joints, latent and cameras."""
    site = material.last("cross_attention.weights")
    weights = material.captured(site, material.rows(_LOOKS))  # (batch, head, slot, token)
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
            axes.barh(np.arange(heads + 1), bar, left=left, color=colour, label=group_name(group))
            left += bar
        axes.set_yticks(np.arange(heads + 1), [*(f"head {head}" for head in range(heads)), "if even"])
        axes.invert_yaxis()
        axes.set_xlabel("share of the attention")
        axes.set_xlim(0, 1)
        figure.legend(loc="outside upper center", ncols=len(found))
    overall = {group: float(values.mean()) for group, values in found.items()}
    said = listed([f"{group_name(group)} {percent(value)}" for group, value in overall.items()])
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
    """Attention over the views, at four moments of an episode."""
    layout, sample = material.layout, material.sample
    cameras = [camera for camera in spec.CAMERAS if camera in layout.grids]
    if not cameras:
        return Section("Where does it look?", "Nowhere: this policy has no camera.", ())
    own = np.flatnonzero(sample.episode == sample.episode[0])
    moments = own[np.unique(np.linspace(0, len(own) - 1, 4).round().astype(int))]
    weights = material.captured(material.last("cross_attention.weights"), moments).mean(axis=(1, 2))
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
    check, said = _masking(material)
    return Section(
        "Where does it look?",
        f"A patch gets {percent(low)} to {percent(top)} of the attention here; even would be {percent(even)}. {said}",
        [
            material.picture(
                "attention-maps",
                figure,
                rows,
                "Camera frames of one episode, tinted by attention.",
                f"Episode {sample.episode[0]}: no colour is {percent(low)}, full colour {percent(top)} of the"
                " attention (mean over heads and future actions of the last decoder layer). Frames are as the network"
                " is given them.",
            ),
            Text(
                "A mean over heads is much the same everywhere, so the colour begins at the smallest value rather than"
                " at zero: pale patches are attended too. A patch is coloured because information was fetched from"
                " there, which need not have been about that patch: patches exchange information first. Whether the"
                " map is to be believed is tested by hiding what it marks:"
            ),
            check,
            Text(
                "The token of the joints is one of the tokens, and often the most attended. Tokens are hidden from the"
                " decoder alone; their information may also have gone to other tokens before."
                " Where random tokens do as much harm as the most attended ones, the map says little about what"
                " matters.",
                small=True,
            ),
        ],
    )


def _masking(material: Material) -> tuple[Picture, str]:
    """Hide the most attended tokens, and as many random ones. Returns the picture, and a sentence."""
    size = material.layout.size
    counts = sorted({max(1, round(share * size)) for share in (0.05, 0.1, 0.25, 0.5, 0.75)})
    batch = material.sample.batch(material.policy, material.rows(_MASKED))
    found: TokenMasking = mask_tokens(material.act, batch, counts, material.rng("masking"), draws=3)
    rows = found.rows()
    with new_figure(7.5, 3.0) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, how in zip(panels, ("hide", "keep"), strict=True):
            for colour, which in zip(POLICY_COLOURS, ("top", "random"), strict=False):
                name = {"top": "the most attended", "random": "random ones"}[which]
                axes.plot(counts, [row[f"{how} {which}"] for row in rows], "-o", color=colour, markersize=4, label=name)
            axes.set_xlabel(f"tokens {'hidden' if how == 'hide' else 'left'}, of {size}")
            axes.grid(True, axis="y")
        panels[0].set_ylim(bottom=0)
        panels[0].set_ylabel("change of the action")
        panels[0].legend(fontsize=8)
    row = min(rows, key=lambda each: abs(each["tokens"] - size / 4))
    ratio = row["hide top"] / max(row["hide random"], 1e-12)
    said = (
        f"Hiding the {row['tokens']} most attended of {size} tokens changes the action {ratio:.1f} times as much as"
        " hiding as many at random."
    )
    alt = "Change of the action where the most attended tokens, or random ones, are hidden or left alone."
    caption = f"Root mean square over the chunk in the policy’s own units, mean over {_MASKED} observations."
    return material.picture("token-masking", figure, rows, alt, caption), said
