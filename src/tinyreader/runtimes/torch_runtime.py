"""`TorchRuntime`: any question-answering model of Transformers, on a GPU or a CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from tinyreader.arrays import Int64
from tinyreader.errors import SettingsError
from tinyreader.models import (
    LoadedReader,
    Precision,
    best_precision,
    load_reader,
    max_tokens,
    qa_head,
    takes_segments,
)
from tinyreader.models.parts import round_to_bf16
from tinyreader.runtimes import Logits, ModelFacts, Runtime


class TorchRuntime(Runtime):
    """A `Runtime` of a loaded reader, which is moved to the device and, for bf16, rounded in place."""

    def __init__(self, reader: LoadedReader, precision: Precision, device: torch.device) -> None:
        self.device = device
        pad = reader.config.pad_token_id
        self.facts = ModelFacts(
            engine="torch",
            precision=precision,
            pad_id=int(pad) if pad is not None else 0,
            max_tokens=max_tokens(reader.model),
            vocab_size=reader.model.get_input_embeddings().num_embeddings,
            takes_segments=takes_segments(reader.model),
        )
        self.model = reader.model.eval().to(device)
        if precision == "bf16":
            head = qa_head(self.model)
            round_to_bf16(self.model, [head])
            head.register_forward_pre_hook(lambda _, args: (args[0].float(), *args[1:]))

    @torch.inference_mode()
    def logits(self, input_ids: Int64, mask: Int64, segment_ids: Int64) -> Logits:
        """Start and end logits float32 [B, L] of padded windows [B, L]; `mask` is 1 on real tokens."""
        inputs = self.facts.named_inputs((input_ids, mask, segment_ids))
        out = self.model(**{name: torch.from_numpy(each).to(self.device) for name, each in inputs.items()})
        return out.start_logits.float().cpu().numpy(), out.end_logits.float().cpu().numpy()


def open_torch(
    directory: Path,
    precision: Literal["auto", "bf16", "fp32"],
    threads: int | None = None,
    device_name: str | None = None,
) -> TorchRuntime:
    """The runtime of the reader in that directory, on the device of that name (`find_device`)."""
    if threads is not None:
        torch.set_num_threads(threads)
    device = find_device(device_name)
    chosen = best_precision(device) if precision == "auto" else precision
    return TorchRuntime(load_reader(directory), chosen, device)


def find_device(name: str | None) -> torch.device:
    """The device of that name; for None, the accelerator if there is one, else the CPU.

    Raises `SettingsError` for a device that this machine does not have.
    """
    if name is None:
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found if found is not None else torch.device("cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(f"device {name!r} cannot be used: {str(error).splitlines()[0]}") from None
    return torch.device(name)
