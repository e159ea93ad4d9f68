"""Activations on disk, found again only for the same weights, data, sites and code."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from autoarm.interp.model.capture import Batch, capture_each
from autoarm.interp.model.hooks import is_hooked
from autoarm.interp.model.named_array import NamedArray
from autoarm.interp.model.sites import Site, resolve
from autoarm.interp.model.tokens import check_batch
from autoarm.runtime.files import read_json, replace_folder
from gym_autoarm.errors import InvalidFileError, InvalidInputError

MANIFEST: Final = "activations.json"

_MODULES: Final = ("attention", "cache", "capture", "hooks", "policy_state", "ports", "sites")
"""Of this package: those that decide on the values."""
_PACKAGES: Final = ("autoarm", "lerobot", "numpy", "torch", "torchvision")
_ELSEWHERE: Final = frozenset({"device", "pretrained_path"})
"""What a configuration says about the machine rather than about the policy."""


class CaptureKey(BaseModel):
    """All that decides on captured values; two keys that differ anywhere never share a file.

    Attributes:
        weights: Hash of the weights as they are now, whatever file they came from.
        config: Hash of the policy's configuration.
        device: Kind of device, and whether torch chooses the precision there.
        data: What the caller says the observations are.
        first_batch: Hash of the first batch, which notices another preprocessor or order under the same `data`.
        sites: Full names.
        code: Hash of the sources of this package.
        versions: Of the packages that compute.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    weights: str
    config: str
    device: str
    data: str
    first_batch: str
    sites: tuple[str, ...]
    code: str
    versions: dict[str, str]

    @property
    def folder(self) -> str:
        """Name of the folder for it."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:20]


class _Entry(BaseModel):
    site: str
    file: str
    axes: tuple[str, ...]
    shape: tuple[int, ...]


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    key: CaptureKey
    arrays: list[_Entry]


def cached_capture(
    cache: Path, policy: Any, batches: Iterable[Batch], sites: Iterable[str], data: str
) -> dict[str, NamedArray]:
    """As `capture`, streamed to disk, and read from there if it was captured before.

    Of a hit, one batch is looked at and no forward pass is made. Only complete captures are ever visible.

    Args:
        cache: A folder of captures; made if need be.
        policy: A LeRobot `ACTPolicy`.
        batches: Each of any size.
        sites: Names as `autoarm.interp.model.sites` lists them.
        data: What the observations are, in order: for example `autoarm.data.frames.dataset_digest` and the frames.

    Returns:
        As `capture`, the values mapped from files, not to be written to.

    Raises:
        InvalidInputError: As `capture`, or if somebody is editing the policy meanwhile.
        InvalidFileError: If the cache cannot be written.
    """
    found = resolve(policy, sites)
    if is_hooked(policy):
        # Its weights would not show it, and edited activations would later be taken for the policy's own.
        raise InvalidInputError(
            "the policy is being edited or recorded", field="policy", cure="use capture, which keeps nothing"
        )
    stream = iter(batches)
    first = next(stream, None)
    if first is None:
        raise InvalidInputError("there is no batch", field="batches", cure="give at least one")
    check_batch(policy, first)
    key = capture_key(policy, first, found, data)
    folder = cache / key.folder
    known = _read(folder, key, found)
    if known is None:
        try:
            replace_folder(folder, lambda new: _write(new, key, policy, itertools.chain([first], stream), found))
        except OSError as error:
            raise InvalidFileError(f"cannot be written: {error.strerror or error}", file=folder) from error
        known = _read(folder, key, found)
        assert known is not None, "what was written cannot be read"
    return known


def capture_key(policy: Any, first: Batch, found: Mapping[str, Site], data: str) -> CaptureKey:
    """The key of a capture of `found` that begins with the batch `first`."""
    device = next(policy.parameters()).device.type
    config = {name: value for name, value in dataclasses.asdict(policy.config).items() if name not in _ELSEWHERE}
    return CaptureKey(
        weights=tensors_digest(policy.state_dict()),
        config=hashlib.sha256(json.dumps(config, default=str, sort_keys=True).encode()).hexdigest(),
        device=f"{device} autocast" if torch.is_autocast_enabled(device) else device,
        data=data,
        first_batch=tensors_digest({name: first[name] for name in policy.config.input_features}),
        sites=tuple(site.name for site in found.values()),
        code=code_digest(),
        versions={name: _version(name) for name in _PACKAGES},
    )


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Hash of named tensors: names, types, shapes and bits, wherever they lie."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def code_digest() -> str:
    """Hash of the sources that decide on captured values."""
    digest = hashlib.sha256()
    for name in _MODULES:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()


def _write(folder: Path, key: CaptureKey, policy: Any, batches: Iterable[Batch], found: Mapping[str, Site]) -> None:
    files = {name: f"{number}.npy" for number, name in enumerate(found)}
    counts = 0
    shapes: dict[str, tuple[int, ...]] = {}
    for values in capture_each(policy, batches, found):
        for name, array in values.items():
            shapes[name] = array.shape[1:]
            with (folder / files[name]).open("r+b" if counts else "wb") as file:
                if not counts:
                    _write_header(file, (0, *shapes[name]))
                file.seek(0, 2)
                file.write(array.data)
        counts += len(array)
    for name in found:
        with (folder / files[name]).open("r+b") as file:
            _write_header(file, (counts, *shapes[name]))
    arrays = [
        _Entry(site=site.name, file=files[name], axes=site.axes, shape=(counts, *shapes[name]))
        for name, site in found.items()
    ]
    (folder / MANIFEST).write_text(_Manifest(key=key, arrays=arrays).model_dump_json(indent=1) + "\n", "utf-8")


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # NumPy leaves room for the first axis to grow, so that the header of the final shape fits where this one is.
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]


def _read(folder: Path, key: CaptureKey, found: Mapping[str, Site]) -> dict[str, NamedArray] | None:
    """What a folder holds, or None unless it is exactly and wholly this."""
    try:
        manifest = read_json(_Manifest, folder / MANIFEST)
        if manifest.key != key:
            return None
        entries = {entry.site: entry for entry in manifest.arrays}
        arrays = {}
        for name, site in found.items():
            entry = entries[site.name]
            values = np.load(folder / Path(entry.file).name, mmap_mode="r", allow_pickle=False)
            if values.shape != entry.shape or values.dtype != np.float32:
                return None
            arrays[name] = NamedArray(entry.axes, values)
    except (InvalidFileError, KeyError, OSError, ValueError):
        return None
    return arrays


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # running from the tree
        return "unknown"
