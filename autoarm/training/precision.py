"""Which arithmetic a device is quick in."""

from __future__ import annotations

from typing import Literal

import torch

Dtype = Literal["float32", "bfloat16"]


def fast_dtype(device: str) -> Dtype:
    """Bfloat16 where the device has instructions for it, float32 elsewhere.

    Without them a processor computes convolutions in bfloat16 ten times slower than in float32.
    """
    if torch.device(device).type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if torch.device(device).type == "cpu":
        known = torch.cpu.get_capabilities()
        return "bfloat16" if known.get("avx512_bf16") or known.get("amx_bf16") else "float32"
    return "float32"
