"""From a model directory to an `OpenVinoRuntime`: built from safetensors, read from OpenVINO's files, or
converted once.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import openvino as ov

from tinyreader.errors import MissingExtraError, ModelError, SettingsError
from tinyreader.model_files import has_weights, model_fingerprint
from tinyreader.runtimes import PrecisionName
from tinyreader.runtimes.architecture import Architecture, read_architecture
from tinyreader.runtimes.checkpoint import Checkpoint
from tinyreader.runtimes.facts import exported_precision, facts_of, is_known, read_facts, write_facts
from tinyreader.runtimes.int8 import Int8Plan, read_plan
from tinyreader.runtimes.openvino.engine import EngineSettings, OpenVinoRuntime, read_ir, resolve_precision
from tinyreader.runtimes.openvino.graph import Precision, build_model
from tinyreader.storage import cache_directory, cached_build

IR_FILE = "openvino_model.xml"


def open_openvino(directory: str | Path, settings: EngineSettings | None = None) -> OpenVinoRuntime:
    """The runtime of the reader in that directory: config.json and safetensors are all it needs for the
    common encoders.

    A directory that holds OpenVINO's own files and no such weights is read from these. Other architectures
    are converted by way of torch, once (`MissingExtraError` without it), and kept in the user's cache
    directory.
    """
    directory, settings = Path(directory), settings or EngineSettings()
    if (directory / IR_FILE).is_file() and not (has_weights(directory) and is_known(directory)):
        return _open_ir(directory, settings)
    precision = resolve_precision(settings.precision)
    if not is_known(directory):
        return _open_ir(converted(directory), settings)
    architecture = read_architecture(directory)
    plan = None
    if settings.precision == "int8":
        plan = read_plan(directory, architecture.linears())
    else:
        settings = replace(settings, precision=precision)
    return OpenVinoRuntime(load_model(directory, precision, plan)[1], facts_of(architecture), settings)


def load_model(
    directory: Path, precision: Precision, plan: Int8Plan | None = None
) -> tuple[Architecture, ov.Model]:
    """The architecture and the network, not compiled, of the reader in that directory."""
    architecture = read_architecture(directory)
    weights = Checkpoint(directory, architecture.family.prefix)
    weights.check(architecture.tensors(), architecture.n_layers)
    return architecture, build_model(architecture, weights, precision, plan)


def converted(directory: Path) -> Path:
    """The directory in the user's cache with the network that the model was converted to, now or before."""
    versions = f"{ov.__version__}-{_version('transformers')}"
    name = (
        f"{model_fingerprint(directory)}-{''.join(c if c.isalnum() or c == '.' else '-' for c in versions)}"
    )

    def build(target: Path) -> None:
        try:
            from tinyreader.runtimes.openvino.convert import convert
        except ModuleNotFoundError as error:
            raise MissingExtraError(f"converting {directory} for OpenVINO", "train") from error
        model, facts = convert(directory)
        ov.save_model(model, target / IR_FILE, compress_to_fp16=False)
        write_facts(target, facts, "openvino", "fp32")

    return cached_build(cache_directory() / "openvino" / name, build)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _open_ir(directory: Path, settings: EngineSettings) -> OpenVinoRuntime:
    """The runtime of the OpenVINO files in that directory."""
    wanted = _precision_of_ir(settings.precision, exported_precision(directory), directory)
    path = directory / IR_FILE
    model = _read(path)
    facts = read_facts(directory, _input_names(path, model))
    return OpenVinoRuntime(model, facts, replace(settings, precision=wanted))


def _precision_of_ir(wanted: PrecisionName, held: str | None, directory: Path) -> PrecisionName:
    """The precision to run files at that hold the network at `held`: what was asked for, where they can give
    it.
    """
    if wanted == "int8" and held != "int8":
        raise ModelError(
            f"{directory / IR_FILE} holds no int8 network; export the original with --precision int8"
        )
    if held == "int8":
        if wanted not in ("auto", "int8"):
            raise _other(directory, held, wanted)
        return "int8"
    if held == "bf16" and wanted == "fp32":
        raise _other(directory, held, wanted)
    return resolve_precision(wanted)


def _other(directory: Path, held: str, wanted: str) -> SettingsError:
    path = directory / IR_FILE
    return SettingsError(
        f'{path} was exported at {held}; set precision to "{held}" or "auto", not "{wanted}".'
    )


def _read(path: Path) -> ov.Model:
    try:
        return read_ir(str(path))
    except RuntimeError as error:
        reason = next(iter(str(error).strip().splitlines()[-1:]), "")
        raise ModelError(
            f"{path} is damaged, or its .bin file is: {reason}. Export the model again"
        ) from None


def _input_names(path: Path, model: ov.Model) -> set[str]:
    """The names of the network's inputs; `ModelError` unless it is a reader's."""
    inputs = {one.get_any_name() for one in model.inputs}
    outputs = [one.get_any_name() for one in model.outputs]
    if not {"input_ids", "attention_mask"} <= inputs <= {
        "input_ids",
        "attention_mask",
        "token_type_ids",
    } or outputs != ["start_logits", "end_logits"]:
        raise ModelError(
            f"{path} is no question-answering network: it takes {', '.join(sorted(inputs))} and gives "
            f"{', '.join(outputs)}"
        )
    return inputs
