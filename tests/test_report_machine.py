"""`report.machine`: what a report was measured on, and what a model takes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_models import write_reader
from tinyreader.report.machine import (
    ENGINE_PACKAGES,
    machine,
    parameters,
    peak_memory_bytes,
    size_on_disk,
    versions,
)


def test_parameters_and_size_are_those_of_the_files(tmp_path: Path) -> None:
    """Parameters are the floating-point numbers of the weights; the size is that of weights, configuration
    and tokenizer.
    """
    model = write_reader(tmp_path)
    tensors = load_file(model / "model.safetensors")
    expected = sum(t.numel() for t in tensors.values())
    assert parameters(model) == expected
    save_file(
        tensors | {"position_ids": torch.arange(5)}, model / "model.safetensors", metadata={"format": "pt"}
    )
    (model / "notes.bin").write_bytes(b"0" * 10_000_000)
    assert parameters(model) == expected
    counted = (
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
    )
    least = sum((model / name).stat().st_size for name in counted if (model / name).is_file())
    assert least <= size_on_disk(model) < least + 10_000


def test_a_model_without_known_weights_is_measured_whole(tmp_path: Path) -> None:
    """Files of an engine of its own count all; how many parameters they hold is not known."""
    (tmp_path / "engine.xml").write_bytes(b"0" * 123)
    assert size_on_disk(tmp_path) == 123
    assert parameters(tmp_path) is None


def test_the_machine_is_described() -> None:
    """Cores, memory and versions are there, and the peak holds what this process has taken."""
    facts = machine()
    assert facts["cores"] >= 1
    assert facts["processor"]
    assert facts["platform"]
    assert set(versions(["numpy", "no-such-package"])) == {"python", "numpy"}
    before = peak_memory_bytes()
    if before is None:
        pytest.skip("this system does not say how much memory a process took")
    held = bytearray(64 << 20)
    after = peak_memory_bytes()
    assert after is not None
    assert after >= before
    assert len(held) < after < 1 << 40


def test_an_engines_own_package_is_among_the_versions() -> None:
    """Each installed engine's package gives a version, by the names that reports call engines by."""
    pytest.importorskip("onnxruntime", reason="needs ONNX Runtime, which the onnx extra brings")
    assert set(versions(ENGINE_PACKAGES["onnx"])) == {"python", "onnxruntime"}
    for engine in ENGINE_PACKAGES:
        assert find_spec(f"tinyreader.runtimes.{engine}_runtime") or find_spec(
            f"tinyreader.runtimes.{engine}"
        )
