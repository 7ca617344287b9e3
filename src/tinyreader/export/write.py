"""`export`: a reader's directory as files for plain OpenVINO or ONNX Runtime, or as packed weights. The
output is put in place only if it agrees with the original.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import openvino as ov
from safetensors.numpy import save_file

from tinyreader.data import Example
from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.export.int8 import Int8Search, OnProgress
from tinyreader.export.parity import (
    TOLERANCES,
    Outcome,
    Parity,
    Tolerance,
    Trial,
    compare,
    make_trial,
    sample_examples,
)
from tinyreader.model_files import (
    ENGINE_FILES,
    PACKED_FILE,
    SETTINGS_FILES,
    has_weights,
    model_fingerprint,
    read_section,
    weight_files,
    write_section,
)
from tinyreader.reader.settings import ReaderSettings, read_settings
from tinyreader.runtimes import ModelFacts
from tinyreader.runtimes.architecture import read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.engines import installed_engines, open_engine
from tinyreader.runtimes.facts import EXPORT, facts_of, is_known, read_facts, write_facts
from tinyreader.runtimes.int8 import SECTION, Int8Plan, quantised, read_plan, write_plan
from tinyreader.runtimes.openvino import IR_FILE, load_model
from tinyreader.runtimes.openvino.engine import converted
from tinyreader.storage import atomic_directory, match_parent_mode, require_writable
from tinyreader.tokenizer import load_tokenizer, tokenizer_files

MIN_HELD_OUT = 8
"""Minimum number of questions that decide whether an int8 plan is accepted."""

PACKED_FORMAT = "tinyreader int8 rows"

Precision = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """What is written, and how it is checked; `tolerance` None is the default for the precision.

    "packed" stands for no engine: the weights are written as int8 rows, which every engine of this project
    reads.
    """

    engine: Literal["openvino", "onnx", "packed"] = "openvino"
    precision: Precision = "fp32"
    tolerance: Tolerance | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.engine not in ("openvino", "onnx", "packed"):
            raise SettingsError(f'engine is {self.engine!r}; it must be "openvino", "onnx" or "packed".')
        if self.precision not in get_args(Precision):
            raise SettingsError(
                f"precision is {self.precision!r}; it must be one of {', '.join(get_args(Precision))}."
            )
        if self.engine == "onnx" and self.precision != "fp32":
            raise SettingsError(
                f'ONNX files are written at fp32, not {self.precision}; set precision to "fp32", or engine '
                'to "openvino".'
            )
        if self.engine == "packed" and self.precision != "fp32":
            raise SettingsError("packed weights can be read at any precision; leave precision out.")

    @property
    def allowed(self) -> Tolerance:
        """The tolerance that applies."""
        return default_tolerance(self.engine, self.precision) if self.tolerance is None else self.tolerance


def default_tolerance(engine: str, precision: str) -> Tolerance:
    """The tolerance for an export whose settings name none."""
    return TOLERANCES["packed" if engine == "packed" else precision]


@dataclass(frozen=True, slots=True)
class Exported:
    """The report on an export. `failures` has a sentence for each limit exceeded; with any, nothing was put in
    place.

    `sizes` are bytes: of the original's weights ("original") and of the network's files by name. `kept` names
    the products that an int8 network computes in higher precision. `reference` is the engine whose fp32 is
    the original.
    """

    out: Path
    parity: Parity
    failures: tuple[str, ...]
    sizes: dict[str, int]
    reference: str
    kept: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return {
            **asdict(self),
            "out": str(self.out),
            "parity": self.parity.as_dict(),
            "ok": not self.failures,
        }


def export(
    directory: Path,
    out: Path,
    settings: ExportSettings,
    examples: Sequence[Example] | None = None,
    *,
    calibrates: bool = False,
    keep_plan_beside_model: bool = True,
    on_progress: OnProgress = lambda _: None,
) -> Exported:
    """Write the reader in `directory` for an engine into the directory `out`, and compare it with the fp32
    original.

    `examples` are the questions to compare on; without them, questions on texts that come with the package.
    int8 needs input ranges. If it `calibrates`, half of the examples are used to measure them and half to
    accept the result, and the plan is also written into the `reader.json` of `directory` (unless
    `keep_plan_beside_model` is False); otherwise the plan is read from there. Raises `ModelError` if the
    model cannot be exported this way, and `SettingsError` for options that contradict each other.
    """
    require_out(out, directory)
    _require_exportable(directory, settings, examples, calibrates)
    tokenizer, stored = load_tokenizer(directory), _settings(directory)
    calibration, held_out = _halves(examples, calibrates)
    trial = make_trial(held_out, tokenizer, stored)
    plan = None
    if settings.precision == "int8" and not calibrates:
        plan = read_plan(directory, read_architecture(directory).linears())
    reference, original = _original(directory, trial, settings.threads, on_progress)
    if calibrates:
        search = Int8Search(directory, settings.threads, on_progress)
        plan = search.find(make_trial(calibration, tokenizer, stored), trial, settings.allowed, original)
    on_progress(f"writing {settings.engine} files")
    require_out(out, directory)  # again: a search takes minutes, in which others may have written there
    with suppress(_RejectedError), atomic_directory(out) as partial:
        facts = _write_network(directory, partial, settings, plan)
        _write_beside(directory, partial, facts, plan)
        if settings.engine == "packed" and (learned := read_section(directory, "calibration")) is not None:
            # Packed weights are the same reader, so its calibration holds; other files round differently.
            write_section(partial, "calibration", learned)
        on_progress("comparing with the original")
        note = {"source": model_fingerprint(directory)}
        write_facts(partial, facts, settings.engine, settings.precision, **note)
        engine = "auto" if settings.engine == "packed" else settings.engine
        runtime = open_engine(partial, engine, settings.precision, settings.threads)
        parity = compare(trial, original, trial.run(runtime))
        write_facts(partial, facts, settings.engine, settings.precision, **note, parity=parity.as_dict())
        failures = tuple(parity.failures(settings.allowed))
        sizes = {"original": _weights_size(directory), **_sizes(partial)}
        if failures:
            raise _RejectedError
    if plan is not None and calibrates and keep_plan_beside_model and not failures:
        write_plan(directory, plan)
    return Exported(out, parity, failures, sizes, f"{reference} fp32", () if plan is None else plan.kept)


class _RejectedError(Exception):
    """The network is not within the tolerance: its directory goes, and an earlier export stays."""


def _require_exportable(
    directory: Path, settings: ExportSettings, examples: Sequence[Example] | None, calibrates: bool
) -> None:
    """Raise `ModelError` or `SettingsError` if the model cannot be exported with these settings."""
    if read_section(directory, EXPORT) is not None and not has_weights(directory):
        raise ModelError(f"{directory} is an export itself; export the directory it was made from")
    if calibrates and (examples is None or settings.precision != "int8"):
        raise SettingsError("calibrates is True; that needs precision int8, and examples to measure")
    if settings.engine == "packed" and not is_known(directory):
        raise SettingsError(
            f"the architecture of {directory} cannot be packed; export it for openvino or onnx."
        )
    if settings.precision != "fp32" and not is_known(directory):
        raise SettingsError(
            f'the architecture of {directory} is exported as fp32 only; set precision to "fp32".'
        )


def _settings(directory: Path) -> ReaderSettings:
    """The settings stored beside the model, with windows that it can take."""
    max_tokens = read_architecture(directory).max_tokens if is_known(directory) else None
    return read_settings(directory).fitted(max_tokens)


def _halves(
    examples: Sequence[Example] | None, calibrates: bool
) -> tuple[Sequence[Example], Sequence[Example]]:
    """The questions to measure ranges on (the odd ones) and those to compare on (the even ones)."""
    if examples is None:
        return (), sample_examples()
    if not calibrates:
        return (), examples
    if len(examples) < 2 * MIN_HELD_OUT:
        raise SettingsError(
            f"{len(examples)} questions are too few to calibrate with, since half of them are held out to "
            f"check the result. Give at least {2 * MIN_HELD_OUT}, better some hundreds"
        )
    return examples[1::2], examples[::2]


def _original(
    directory: Path, trial: Trial, threads: int | None, on_progress: OnProgress
) -> tuple[str, Outcome]:
    """The engine that stands for the original (torch if it is installed) and its outcome in fp32."""
    engine: Literal["torch", "openvino"] = "torch" if "torch" in installed_engines() else "openvino"
    on_progress(f"reading {len(trial.windows)} windows with {engine} at fp32")
    return engine, trial.run(open_engine(directory, engine, "fp32", threads))


def _write_network(
    directory: Path, target: Path, settings: ExportSettings, plan: Int8Plan | None
) -> ModelFacts:
    """Write the engine's files, and return the facts of the network."""
    if settings.engine == "packed":
        _write_packed(directory, target)
        return facts_of(read_architecture(directory))
    if settings.engine == "onnx":
        try:
            from tinyreader.runtimes.onnx.engine import convert_onnx
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"exporting {directory} as ONNX", "train,onnx") from error
        convert_onnx(directory, target)
        return read_facts(target, set())
    if not is_known(directory):
        source = converted(directory)
        for path in (source / IR_FILE, (source / IR_FILE).with_suffix(".bin")):
            shutil.copyfile(path, target / path.name)
        return read_facts(source, set())
    precision: Literal["fp32", "bf16"] = "fp32" if settings.precision == "fp32" else "bf16"
    architecture, model = load_model(directory, precision, plan)
    # fp16 has more mantissa bits than bf16, so storing the weights as fp16 loses nothing here.
    ov.save_model(model, target / IR_FILE, compress_to_fp16=settings.precision == "bf16")
    return facts_of(architecture)


def _write_packed(directory: Path, target: Path) -> None:
    """Write the weights of the reader in `directory` to `target` as `PACKED_FILE`, a quarter of the size.

    A matrix W [rows, columns] becomes round(W / s) in -127..127 with s = max |row| / 127 for each row, so no
    number is off by more than s / 2. Vectors stay fp32: they are small, and biases and LayerNorms do not
    tolerate rounding. The names are those of Transformers.
    """
    architecture = read_architecture(directory)
    checkpoint = Checkpoint(directory, architecture.family.prefix)
    checkpoint.check(architecture.tensors(), architecture.n_layers)
    tensors: dict[str, npt.NDArray[np.int8 | np.float32]] = {}
    for own in architecture.tensors():
        name = own if own.startswith("qa_outputs.") else f"{checkpoint.prefix}.{own}"
        weight = checkpoint[own]
        if weight.ndim == 2:
            tensors[name], scale = quantised(weight)
            tensors[f"{name}.scale"] = np.ascontiguousarray(scale[:, 0])
        else:
            tensors[name] = weight
    save_file(tensors, target / PACKED_FILE, metadata={"format": PACKED_FORMAT})
    match_parent_mode(target / PACKED_FILE)  # safetensors writes files that only their owner may read


def _write_beside(directory: Path, target: Path, facts: ModelFacts, plan: Int8Plan | None) -> None:
    """Write the configuration, the tokenizer, the original's settings and the int8 plan."""
    shutil.copyfile(directory / "config.json", target / "config.json")
    files = tokenizer_files(
        load_tokenizer(directory),
        takes_segments=facts.takes_segments,
        max_tokens=facts.max_tokens,
        pad_id=facts.pad_id,
    )
    for name, text in files.items():
        (target / name).write_text(text, encoding="utf-8", newline="\n")
    if (own_settings := read_section(directory, "settings")) is not None:
        write_section(target, "settings", own_settings)
    if plan is not None:
        write_section(target, SECTION, plan.as_dict())


def _weights_size(directory: Path) -> int:
    return sum(path.stat().st_size for path in weight_files(directory))


def _sizes(directory: Path) -> dict[str, int]:
    """Bytes of the network's files."""
    names = ("openvino_model.*", "model.onnx*", PACKED_FILE)
    return {path.name: path.stat().st_size for name in names for path in sorted(directory.glob(name))}


def require_out(out: Path, directory: Path | None = None) -> None:
    """Raise `SettingsError` if an export cannot be written to `out`: it may hold an earlier export, but
    nothing else.

    `directory` is the model's, if it is known: it is never replaced.
    """
    target = out.resolve()
    if target.exists() and not target.is_dir():
        raise SettingsError(f"{out} is a file; an export is written to a directory")
    if directory is not None and directory.resolve().is_relative_to(target):
        raise SettingsError(f"{out} holds the model that is exported; give another directory")
    if target.is_dir() and any(target.iterdir()):
        if read_section(target, EXPORT) is None:
            raise SettingsError(
                f"{out} holds something other than an export and is not replaced; give another directory"
            )
        known = {*SETTINGS_FILES, *ENGINE_FILES, PACKED_FILE}
        if others := sorted(path.name for path in target.iterdir() if path.name not in known):
            raise SettingsError(
                f"{out} holds an earlier export and beside it {', '.join(others[:5])}, which would be lost: "
                "move it, or give another directory"
            )
    require_writable(target.parent, str(out))
