"""G-effects along the training of anybody's `transformers.Trainer`."""

import copy
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, Trainer, TrainerCallback

from geffect.data.encoding import Example, check_lengths
from geffect.data.given import tokenised
from geffect.effects.given import GivenMeasurement, make_folder
from geffect.effects.tuned import check_coordinates, original_within
from geffect.effects.undisturbed import INSTEAD, check_undivided, undisturbed
from geffect.errors import ConfigError, ModelError
from geffect.losses.given import Function, given_loss
from geffect.losses.loss import Loss
from geffect.models.components import check_blocks
from geffect.models.folder import positions_of
from geffect.names import ADAPTER, OBJECTIVE, REGULARIZER

Rows = Iterable[Example | Mapping[str, Any]]

log = logging.getLogger(__name__)


class GEffectCallback(TrainerCallback):
    """Measures G-effects along a training with `transformers.Trainer` or a subclass of it.

    At the first step, whose weights are θ_o, at every `every`-th and at the last one it writes
    `geffect.parquet`, `risk.parquet` and, if asked for, `instances.parquet` and `tokens.parquet`,
    with the columns of the workflow's tables. The training ends in the same weights, bit for bit,
    as without it. Parameters that are frozen count as zero; where some are frozen or thawed on the
    way, the change of risk of that interval is measured, and not predicted.

    In `risk.parquet` the term `combined` is the change that the whole displacement between two
    measured steps predicts. How objective, regularizer and weight decay share it is known only to
    the workflow's own loop, so there are no such rows.

    Passed to a trainer in `callbacks`, it adds its totals to `state.log_history`. With
    `attach(trainer)` they go through the trainer's log, and so also to TensorBoard or W&B.

    Computes in bf16 where the trainer does (`bf16=True`), else in the precision of the weights.
    Beside the training's own memory it needs some more copies of the weights: gradients, θ_o if a
    loss looks at it, and the weights and gradients of the measured step before. Gradients are in
    float32, also of weights in half precision.

    Args:
        forget: D_u: rows of `input_ids` and `labels` (-100 where there is none) as in a tokenised
            `datasets.Dataset`, or Examples.
        retain: the rows of the retain risk.
        objective: `NAME[:key=value,...]`, a `Loss`, or any function (model, batch) -> mean
            (see `function_loss`). Of a function there are G-effects over data sets; instances and
            tokens have no weight.
        regularizer: likewise; None for none.
        out: the folder to write to; it is made if it is not there.
        every: optimizer steps between two measurements.
        objective_rows: rows of the objective's own gradient, by default those of `forget`; for
            losses that train on refusals.
        regularizer_rows: those of the regularizer's, by default those of `retain`.
        original: θ_o, for losses such as KL that look at it at every step; by default a copy of
            the model is kept if one is needed. LoRA adapters that begin at zero need none: switched
            off, they leave θ_o.
        control_vector: RMU's u [d], for losses that need it.
        components: those that the tables keep, such as `total`, `deep` or `layer.1`; None for all.
        instances: whether to make this table too.
        tokens: likewise; it needs the trainer's `processing_class`, a tokenizer.
        change: how the change of risk is predicted, "trapezoid" or "simpson".
        micro_batch_size: rows at once; a matter of memory only.
        parameters: of a model with adapters of PEFT: "adapter", G-effects of whatever is trained,
            or "merged", of the weights that plain LoRA is merged into.
        key: values of the columns `model`, `split`, `objective`, `regularizer`, `seed` that are to
            be others than the model's name, "given", the losses' names and the trainer's seed.

    Raises:
        ConfigError: an argument cannot be used.
        DataError: rows are missing or not tokenised as they should be.
        LossError: a loss's hyper-parameters are not those that it declares.
    """

    def __init__(
        self,
        forget: Rows,
        retain: Rows,
        objective: str | Loss | Function,
        regularizer: str | Loss | Function | None = None,
        *,
        out: str | Path,
        every: int,
        objective_rows: Rows | None = None,
        regularizer_rows: Rows | None = None,
        original: PreTrainedModel | None = None,
        control_vector: torch.Tensor | None = None,
        components: Sequence[str] | None = None,
        instances: bool = False,
        tokens: bool = False,
        change: str = "trapezoid",
        micro_batch_size: int = 8,
        parameters: str = ADAPTER,
        key: Mapping[str, Any] | None = None,
    ):
        if every < 1:
            raise ConfigError(f"every: {every} is no number of steps; use 1 or more")
        if change not in ("trapezoid", "simpson"):
            raise ConfigError(f"change: {change!r} is unknown; use trapezoid or simpson")
        named = {
            "forget": forget,
            "retain": retain,
            "objective_rows": objective_rows,
            "regularizer_rows": regularizer_rows,
        }
        self.rows: dict[str, Any] = {
            name: tokenised(rows, name) for name, rows in named.items() if rows is not None
        }
        self.losses: dict[str, Any] = {
            "objective": given_loss(OBJECTIVE, objective),
            "regularizer": None if regularizer is None else given_loss(REGULARIZER, regularizer),
        }
        self.settings: dict[str, Any] = {
            "control_vector": control_vector,
            "components": components,
            "instances": instances,
            "tokens": tokens,
            "change": change,
            "micro_batch_size": micro_batch_size,
            "parameters": parameters,
        }
        self.original, self.every, self.out = original, every, make_folder(out)
        self.given_key = dict(key or {})
        self._measurement()  # what is wrong with the arguments shows here
        self.trainer: Trainer | None = None

    def attach(self, trainer: Trainer) -> None:
        """Adds this callback to a trainer, if it is not there; totals go through its own log."""
        if self not in trainer.callback_handler.callbacks:
            trainer.add_callback(self)
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measures at θ_o.

        Raises:
            ModelError: the model is sharded, several processes train it, its architecture is not
                understood, or the training is a resumed one; merged weights are asked for, and
                something else than plain LoRA is trained.
            ConfigError: tables of tokens are asked for without a tokenizer, or merged weights
                without adapters.
            DataError: a row is longer than the model's number of positions.
            LossError: a loss looks at a layer that the model does not have.
        """
        model = given["model"]
        if getattr(args, "deepspeed", None) or _engine(args) == "DEEPSPEED":
            raise ModelError(f"DeepSpeed keeps gradients to itself: {INSTEAD}")
        if args.world_size > 1:
            raise ModelError(f"{args.world_size} processes train together: {INSTEAD}")
        check_undivided(model)
        if state.global_step > 0:
            raise ModelError(
                f"the training resumes at step {state.global_step}, where θ_o is no longer there; "
                "measure its checkpoints with `python -m geffect effects`"
            )
        check_coordinates(model, self.settings["parameters"])
        check_blocks(model.config, type(model).__name__)
        for name, examples in self.rows.items():
            check_lengths(examples, positions_of(model.config), name)
        self.precision = "bf16" if args.bf16 else "float32"
        tokenizer = given.get("processing_class")
        if self.settings["tokens"] and tokenizer is None:
            raise ConfigError("tokens: the trainer has no tokenizer; pass it as processing_class")
        self.measurement = self._measurement(None if tokenizer is None else tokenizer.decode)
        named = Path(str(model.name_or_path)).name or model.config.model_type
        self.key = self.measurement.cell_key(named, args.seed, self.given_key)
        original = self.original
        if original is None and self.measurement.looks_at_original:
            original = original_within(model) or _copied(model)
        with undisturbed(model, self.precision):
            self.measurement.begin(model, original)
        self._measure(model, args, state, control)

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measures at every `every`-th step and at the last one."""
        last = state.global_step >= state.max_steps or control.should_training_stop
        if last or state.global_step % self.every == 0:
            self._measure(given["model"], args, state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measures at the last step, if something else ended the training there."""
        if self.measured == state.global_step:
            return
        if args.load_best_model_at_end and state.best_model_checkpoint is not None:
            log.warning("the weights of step %d are gone: not measured", state.global_step)
            return
        self._measure(given["model"], args, state, control)

    def _measurement(self, decode: Callable | None = None) -> GivenMeasurement:
        return GivenMeasurement(**self.losses, **self.rows, **self.settings, decode=decode)

    def _measure(self, model: PreTrainedModel, args: Any, state: Any, control: Any) -> None:
        step = state.global_step
        with undisturbed(model, self.precision):
            self.measurement.at(model, step)
        self.measured = step
        self.measurement.write(self.out, self.key)
        totals = {f"geffect/{name}": v for name, v in self.measurement.totals().items()}
        if self.trainer is None:
            state.log_history.append({**totals, "epoch": state.epoch, "step": step})
            return
        should_log = control.should_log
        # Not the subclass's own, which may empty what it has gathered for its next line.
        Trainer.log(self.trainer, totals)
        control.should_log = should_log


def _engine(args: Any) -> str:
    return getattr(getattr(args.distributed_state, "distributed_type", None), "value", "")


def _copied(model: PreTrainedModel) -> PreTrainedModel:
    """θ_o, which stays: a copy without what accelerate wraps around its forward pass."""
    result = copy.deepcopy(model).eval().requires_grad_(False)
    for name in ("forward", "_original_forward", "_compiled_call_impl"):
        vars(result).pop(name, None)
    return result
