"""Which arithmetic is chosen."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from autoarm.training.precision import fast_dtype


@pytest.mark.parametrize(
    ("known", "dtype"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True, "avx512_bf16": False}, "bfloat16"),
        ({"avx512_f": True, "avx512_bf16": False}, "float32"),
        ({"architecture": "aarch64"}, "float32"),
    ],
)
def test_a_processor(known: dict[str, Any], dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    assert fast_dtype("cpu") == dtype


@pytest.mark.parametrize(("supported", "dtype"), [(True, "bfloat16"), (False, "float32")])
def test_a_card(supported: bool, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    assert fast_dtype("cuda:0") == dtype


def test_what_torch_says_of_this_machine_can_be_read() -> None:
    assert fast_dtype("cpu") in ("float32", "bfloat16")
    assert "architecture" in torch.cpu.get_capabilities()
    assert fast_dtype("mps") == "float32"
