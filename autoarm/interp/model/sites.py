"""Named places in a LeRobot ACT policy, whatever its configuration.

| site | what it is | axes |
|---|---|---|
| `backbone.<camera>` | raw ResNet features | batch, channel, row, column |
| `tokens.in` | input of the encoder, without position embeddings | batch, token, channel |
| `encoder.<l>.attention` | output of a layer's self-attention | batch, token, channel |
| `encoder.<l>.attention.weights` | attention weights of each head | batch, head, query, token |
| `encoder.<l>.attention.heads` | output of each head, before the output projection | batch, token, head, channel |
| `encoder.<l>.mlp` | output of a layer's MLP | batch, token, channel |
| `encoder.<l>.mlp.in` | input of the MLP | batch, token, channel |
| `encoder.<l>.mlp.skip` | residual path around the MLP | batch, token, channel |
| `encoder.<l>.mlp.keys` | hidden units of the MLP, after the activation function | batch, token, unit |
| `encoder.<l>.out`, `encoder.out` | output of a layer, and of the last one | batch, token, channel |
| `decoder.<l>.in` | input of a layer: zeros in the first | batch, slot, channel |
| `decoder.<l>.self_attention` | as in the encoder, weights and heads too | batch, slot, channel |
| `decoder.<l>.cross_attention` | the same; its weights have axes batch, head, slot, token | batch, slot, channel |
| `decoder.<l>.mlp` | as in the encoder, with in, skip and keys | batch, slot, channel |
| `decoder.<l>.out`, `decoder.out` | output of a layer, and of the last norm | batch, slot, channel |
| `action` | the normalised chunk | batch, slot, action |

`encoder.<l>.norm<n>` and `decoder.<l>.norm<n>` are the layers' norms as LeRobot numbers them. A decoder's parts go
without the number where it has one layer: `decoder.mlp.keys`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import nn

from autoarm.interp.model.hook_points import Heads, HookPoint, Input, Output, Weights
from autoarm.interp.model.tokens import camera_name, check_act
from gym_autoarm.errors import InvalidInputError


@dataclass(frozen=True)
class Site:
    """A place in a policy.

    Attributes:
        name: In full, with the layer's number.
        axes: Names of the axes of its values.
        module: The module it belongs to.
        hook_point: Which value of the module it is: input, output, attention weights or heads.
        call: Which call of the module in one forward pass; the backbone is called once a camera.
        editable: Whether it can be edited; `mlp.skip` can only be read, because its value is used elsewhere too.
    """

    name: str
    axes: tuple[str, ...]
    module: nn.Module
    hook_point: HookPoint
    call: int = 0
    editable: bool = True


def sites(policy: Any) -> dict[str, Site]:
    """All sites of an ACT policy by name, in the order in which a forward pass comes to them.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
    """
    model = check_act(policy).model
    tokens, slots = ("batch", "token", "channel"), ("batch", "slot", "channel")
    found = [
        Site(
            f"backbone.{camera_name(key)}",
            ("batch", "channel", "row", "column"),
            model.backbone,
            Output("feature_map", batch_first=True),
            call=call,
        )
        for call, key in enumerate(policy.config.image_features)
    ]
    found.append(Site("tokens.in", tokens, model.encoder, Input()))
    for number, layer in enumerate(model.encoder.layers):
        found += _encoder_layer(f"encoder.{number}", layer)
    found.append(Site("encoder.out", tokens, model.encoder, Output()))
    for number, layer in enumerate(model.decoder.layers):
        found += _decoder_layer(f"decoder.{number}", layer)
    found.append(Site("decoder.out", slots, model.decoder, Output()))
    found.append(Site("action", ("batch", "slot", "action"), model.action_head, Output(batch_first=True)))
    return {site.name: site for site in found}


def resolve(policy: Any, names: Iterable[str]) -> dict[str, Site]:
    """The sites with these names, by name as given, in the order of a forward pass.

    Raises:
        IncompatiblePolicyError: If it is another kind of policy.
        InvalidInputError: For an unknown site, saying which exist, and for two names of one site.
    """
    known = sites(policy)
    aliases = {}
    if len(policy.model.decoder.layers) == 1:
        aliases = {name.replace("decoder.0.", "decoder.", 1): name for name in known if name.startswith("decoder.0.")}
        # The stack's own output keeps its name; behind one layer there is its norm besides.
        aliases.pop("decoder.out")
    chosen: dict[str, str] = {}
    for name in names:
        full = aliases.get(name, name)
        if full not in known:
            raise InvalidInputError(
                f"this policy has no site {name!r}", field="site", cure=f"choose from {', '.join(known)}"
            )
        if chosen.get(full, name) != name:
            raise InvalidInputError(f"{name!r} and {chosen[full]!r} are one site", field="site", cure="name it once")
        chosen[full] = name
    return {chosen[full]: site for full, site in known.items() if full in chosen}


def _encoder_layer(name: str, layer: Any) -> list[Site]:
    return [
        *_attention(f"{name}.attention", layer.self_attn, ("query", "token"), "token"),
        *_mlp_and_norms(name, layer, "token", norms=2),
        Site(f"{name}.out", ("batch", "token", "channel"), layer, Output()),
    ]


def _decoder_layer(name: str, layer: Any) -> list[Site]:
    axes = ("batch", "slot", "channel")
    return [
        Site(f"{name}.in", axes, layer, Input()),
        *_attention(f"{name}.self_attention", layer.self_attn, ("query", "slot"), "slot"),
        *_attention(f"{name}.cross_attention", layer.multihead_attn, ("slot", "token"), "slot"),
        *_mlp_and_norms(name, layer, "slot", norms=3),
        Site(f"{name}.out", axes, layer, Output()),
    ]


def _attention(name: str, module: nn.Module, looks: tuple[str, str], position: str) -> list[Site]:
    return [
        Site(f"{name}.weights", ("batch", "head", *looks), module, Weights()),
        Site(f"{name}.heads", ("batch", position, "head", "channel"), module, Heads()),
        Site(name, ("batch", position, "channel"), module, Output(0)),
    ]


def _mlp_and_norms(name: str, layer: Any, position: str, norms: int) -> list[Site]:
    axes = ("batch", position, "channel")
    last = getattr(layer, f"norm{norms}")
    found = [Site(f"{name}.norm{n}", axes, getattr(layer, f"norm{n}"), Output()) for n in range(1, norms)]
    # With norms first, the path around the MLP leaves before its norm; with norms last, where the MLP's input does.
    around = Site(f"{name}.mlp.skip", axes, last if layer.pre_norm else layer.linear1, Input(), editable=False)
    inside = [
        Site(f"{name}.mlp.in", axes, layer.linear1, Input()),
        Site(f"{name}.mlp.keys", ("batch", position, "unit"), layer.linear2, Input()),
        Site(f"{name}.mlp", axes, layer.linear2, Output()),
    ]
    norm = Site(f"{name}.norm{norms}", axes, last, Output())
    return [*found, around, norm, *inside] if layer.pre_norm else [*found, around, *inside, norm]
