"""How a run trains. Imports no torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geffect.errors import ConfigError


@dataclass(frozen=True)
class TrainingSettings:
    """How a run trains; the keys of the configuration's training sections.

    Attributes:
        epochs: passes over the rows; the number of updates is `steps`.
        batch_size: the effective batch, whatever the number of devices.
        micro_batch_size: rows at once; a matter of memory only.
        learning_rate: at the end of warm-up.
        weight_decay: AdamW's.
        warmup_epochs: of linear warm-up, see `warmup`.
        schedule: after warm-up; the name of a schedule of transformers.
        max_grad_norm: greater gradient norms are clipped to it; None does not clip.
        reduction: "global" pools a mean over the effective batch, "microbatch" averages
            micro-batch means as the authors' code does.
        gradient_checkpointing: recomputes activations instead of keeping them.
        length_bucket: how many batches are sorted by length together; 0 does not sort.
        lora: of adapters that are trained instead of the whole model (`models.adapters.adapt`).
    """

    epochs: float
    batch_size: int
    micro_batch_size: int
    learning_rate: float
    weight_decay: float
    warmup_epochs: float
    schedule: str
    max_grad_norm: float | None
    reduction: str = "global"
    gradient_checkpointing: bool = False
    length_bucket: int = 0
    lora: Mapping[str, Any] | None = None

    def steps(self, rows: int) -> int:
        """N = ⌊epochs · rows / batch⌋ updates; the last partial batch is dropped.

        Raises:
            ConfigError: there is not a single full batch.
        """
        steps = math.floor(self.epochs * rows / self.batch_size)
        if steps == 0:
            raise ConfigError(
                f"training: {self.epochs} epochs of {rows} rows are less than one batch of "
                f"{self.batch_size}; lower batch_size or raise epochs"
            )
        return steps

    def warmup(self, rows: int) -> int:
        """max(1, ⌊warmup_epochs · rows / batch⌋) updates of linear warm-up."""
        return max(1, math.floor(self.warmup_epochs * rows / self.batch_size))
