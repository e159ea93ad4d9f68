"""A backbone's feature maps in place of images: computed for all cameras at once, or once for all of training."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.models._utils import IntermediateLayerGetter

from autoarm.data.frames import cache_file, check_room
from autoarm.training.folding import folded_batch_norm

FeatureMaps = NDArray[np.float16]
_BATCH = 64


def backbone_of(policy: Any) -> nn.Module:
    """The part of LeRobot's ACT or Diffusion Policy that turns images into feature maps."""
    backbone: nn.Module = _holder(policy).backbone
    return backbone


def feature_maps(backbone: nn.Module, images: Sequence[Tensor]) -> list[Tensor]:
    """Feature maps `(b, c, h', w')` of each camera's images `(b, 3, h, w)`, in one pass over all of them."""
    found = backbone(torch.cat(list(images)))
    maps: Tensor = found["feature_map"] if isinstance(found, Mapping) else found
    return list(torch.split(maps, [len(each) for each in images]))


@contextmanager
def images_are_feature_maps(policy: Any) -> Iterator[None]:
    """Inside the block, a policy takes feature maps where it is given images."""
    holder = _holder(policy)
    before = {name: getattr(holder, name) for name in ("backbone", "resize") if hasattr(holder, name)}
    holder.backbone = _MAPS_IN_A_DICT if isinstance(holder.backbone, IntermediateLayerGetter) else _MAPS
    if "resize" in before:
        holder.resize = None
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(holder, name, value)


def _holder(policy: Any) -> Any:
    return policy.model if policy.name == "act" else policy.diffusion.rgb_encoder


class _PassThrough(nn.Module):
    def forward(self, maps: Tensor) -> dict[str, Tensor]:
        return {"feature_map": maps}


# One object each: a compiled network is compiled again for another one.
_MAPS_IN_A_DICT: Final = _PassThrough()
_MAPS: Final = nn.Identity()


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a module's weights and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def cached_feature_maps(
    backbone: nn.Module,
    images: Callable[[NDArray[np.int64]], list[Tensor]],
    count: int,
    views: int,
    key: str,
    folder: Path,
    dtype: torch.dtype,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureMaps:
    """All feature maps of a dataset, `(frames, cameras, c, h', w')` in half precision, read-only and memory-mapped.

    Args:
        backbone: The frozen backbone; its weights are part of the cache's key.
        images: Normalised images of each camera, of the frames with the given numbers.
        count: Frames in all.
        views: How many maps of each: with `count` frames, number `count + i` is the second view of frame `i`.
        key: Text that names all that `images` depends on.
        folder: Folder of the cache.
        dtype: Arithmetic of the pass; bfloat16 is autocast.
        progress: Called with the frames done and the frames in all.
    """
    name = hashlib.sha256(f"{key} {digest_of(backbone.state_dict())} {dtype} v1".encode()).hexdigest()[:24]
    path = folder / f"{name}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with cache_file(path) as temporary:
            _compute(temporary, backbone, images, count, views, dtype, progress)
    maps: FeatureMaps = np.load(path, mmap_mode="r", allow_pickle=False)
    return maps


@torch.no_grad()
def _compute(
    path: Path,
    backbone: nn.Module,
    images: Callable[[NDArray[np.int64]], list[Tensor]],
    count: int,
    views: int,
    dtype: torch.dtype,
    progress: Callable[[int, int], None] | None,
) -> None:
    device = next(backbone.parameters()).device
    stored = None
    with folded_batch_norm(backbone), torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        starts = (count * view + start for view in range(views) for start in range(0, count, _BATCH))
        for first in starts:
            # A batch is of one view.
            frames = np.arange(first, min(first + _BATCH, count * (first // count + 1)))
            maps = torch.stack(feature_maps(backbone, images(frames)), dim=1).half().cpu().numpy()
            if stored is None:
                check_room(path.parent, views * count * maps[0].nbytes, "the kept feature maps")
                stored = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
                    path, mode="w+", dtype=np.float16, shape=(views * count, *maps.shape[1:])
                )
            stored[frames] = maps
            if progress is not None:
                progress(int(frames[-1]) + 1, views * count)
    if stored is not None:
        stored.flush()
