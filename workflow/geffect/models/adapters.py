"""Low-rank adapters (LoRA) of PEFT: W = W0 + s · BA, with s = alpha / rank and W0 frozen.

A [rank, in] is drawn at random and B [out, rank] begins at zero, so that a model with new adapters
is the original model θ_o, and one whose adapters are switched off is θ_o at any time.

G-effects are measured in one of two coordinates (`measured_in`): those of the adapters themselves,
or the weights W that they are merged into. The gradient at W is that at W0 with the adapters as
they are, since the output depends on both in the same way; nothing is merged for it.
"""

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast
from transformers.pytorch_utils import Conv1D

from geffect import files
from geffect.errors import ConfigError, DamagedError, ModelError
from geffect.models.compute import evaluating
from geffect.models.folder import fill, load_model, load_original
from geffect.names import ALL_LINEAR, MERGED

FOLDER = "adapter"
"""Of an adapter, beside the weights that it is merged into."""
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_NAME = "default"
_PEFT = "base_model.model."
"""What PEFT's files put before the name of a parameter."""


def layers(model: nn.Module) -> dict[str, Any]:
    """The modules with adapters, by name."""
    return {n: m for n, m in model.named_modules() if hasattr(m, "lora_A") and _base(m) is not None}


def _base(module: nn.Module) -> nn.Module | None:
    return dict(module.named_children()).get("base_layer")


def is_adapted(model: nn.Module) -> bool:
    """Whether a model has adapters."""
    return bool(layers(model))


def targets_of(model: PreTrainedModel, targets: str | list[str]) -> list[str]:
    """The modules that some targets name, in the order of the model.

    Args:
        targets: "all-linear" for all linear layers but the unembedding, or names, each of which
            stands for all modules that are called so, or whose name ends in a point and it.

    Raises:
        ConfigError: a name matches nothing, a module that is not linear, or one whose weight is
            another module's as well.
    """
    modules, unembedding = dict(model.named_modules()), model.get_output_embeddings()
    if targets == ALL_LINEAR:
        return [n for n, m in modules.items() if _is_linear(m) and m is not unembedding]
    uses = [id(p) for m in modules.values() for p in m.parameters(recurse=False)]
    found = set()
    for target in targets:
        named = [n for n in modules if n == target or n.endswith(f".{target}")]
        if not named:
            known = {n.rpartition(".")[2] for n, m in modules.items() if _is_linear(m)}
            raise ConfigError(
                f"lora: targets: {target!r} is no module of {type(model).__name__}"
                f"{ConfigError.suggestion(target, known)}"
            )
        for name in named:
            if not _is_linear(modules[name]):
                raise ConfigError(
                    f"lora: targets: {name} is a {type(modules[name]).__name__}; adapters can be "
                    "added to linear layers only: name others"
                )
            if uses.count(id(modules[name].weight)) > 1:
                raise ConfigError(
                    f"lora: targets: the weight of {name} is another module's as well; name others"
                )
        found.update(named)
    return [name for name in modules if name in found]


def _is_linear(module: nn.Module) -> bool:
    return type(module) in (nn.Linear, Conv1D)


def adapt(
    model: PreTrainedModel,
    seed: int,
    rank: int,
    alpha: float,
    dropout: float = 0,
    targets: str | list[str] = ALL_LINEAR,
) -> PreTrainedModel:
    """Adds adapters to a model, in place; nothing else of it is trainable afterwards.

    Args:
        seed: of A.
        rank, alpha: s = alpha / rank.
        dropout: of what an adapter sees, in training.
        targets: as for `targets_of`.

    Raises:
        ConfigError: as `targets_of`.
        ModelError: PEFT refuses the model.
    """
    from peft import LoraConfig

    config = LoraConfig(
        r=rank,
        lora_alpha=cast(int, alpha),
        lora_dropout=dropout,
        target_modules=targets_of(model, targets),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _injected(model, config)


def adapted_like(model: PreTrainedModel, other: PreTrainedModel) -> PreTrainedModel:
    """A model with adapters at all modules of the kinds that another one's are at, in place.

    The same ones are trainable. Without any in the other, it stays as it is.
    """
    if not is_adapted(other):
        return model
    targets = {name.rpartition(".")[2] for name in layers(other)}
    merged = all(p.requires_grad for n, p in other.named_parameters() if n in _names(other))
    adapt(model, 0, rank=1, alpha=1, targets=sorted(targets))
    for name, parameter in model.named_parameters():
        base = name.endswith(".base_layer.weight")
        parameter.requires_grad_(base if merged else ".lora_" in name)
    return model


def _injected(model: PreTrainedModel, config: Any) -> PreTrainedModel:
    from peft import inject_adapter_in_model

    wanted = set(config.target_modules)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            inject_adapter_in_model(config, model, _NAME)
    except ValueError as error:
        why = " ".join(str(error).split())
        raise ModelError(f"{type(model).__name__}: no adapters can be added ({why})") from error
    # PEFT takes names that older models had of their experts for those of their joint weights.
    if others := sorted(set(layers(model)) - wanted):
        raise ModelError(
            f"{type(model).__name__}: PEFT also adds adapters to {others[0]}, which is not linear; "
            "name other targets under `lora`, such as those of the attention"
        )
    return model.eval()


def weights(model: nn.Module) -> dict[str, Tensor]:
    """The parameters of all adapters, by name."""
    names = [name for pair in _names(model).values() for name in pair]
    found = dict(model.named_parameters())
    return {name: found[name] for name in names}


def _names(model: nn.Module) -> dict[str, tuple[str, str]]:
    """Weight W0 -> A and B of its adapter, all by their names."""
    found = {}
    for name, layer in layers(model).items():
        active = layer.active_adapters
        if len(active) != 1 or list(layer.lora_A) != active or layer.lora_variant:
            raise ModelError(
                f"{name}: has {', '.join(layer.lora_A) or 'no'} adapters; geffect understands one "
                "plain LoRA adapter a module"
            )
        a, b = (f"{name}.lora_{side}.{active[0]}.weight" for side in "AB")
        found[f"{name}.base_layer.weight"] = (a, b)
    return found


@contextlib.contextmanager
def measured_in(model: nn.Module, coordinates: str) -> Iterator[None]:
    """Within it gradients are those of the adapters, or of the weights that they belong to.

    Of a model without adapters all stays as it is.

    Args:
        coordinates: `names.ADAPTER` or `names.MERGED`.
    """
    names, parameters = _names(model), dict(model.named_parameters())
    wanted = set(names) if coordinates == MERGED else {n for pair in names.values() for n in pair}
    before = {name: p.requires_grad for name, p in parameters.items()} if names else {}
    try:
        for name in before:
            parameters[name].requires_grad_(name in wanted)
        yield
    finally:
        for name, trainable in before.items():
            parameters[name].requires_grad_(trainable)


class Change(Mapping[str, Tensor]):
    """How far the merged weights were moved while the adapters were, made when read.

    W moves by Δ(s · BA) = s · (ΔB · Ā + B̄ · ΔA), with Ā and B̄ half-way. That is exact, and linear
    in (ΔA, ΔB), so that the shares of a displacement of adapters have shares of W that add up.

    Args:
        model: whose adapters they are.
        start, end: parameter of an adapter -> its value before and after.
        moved: parameter of an adapter -> how far this share moved it; what is not there counts as
            zero. None for the whole displacement.
    """

    def __init__(
        self,
        model: nn.Module,
        start: Mapping[str, Tensor],
        end: Mapping[str, Tensor],
        moved: Mapping[str, Tensor] | None = None,
    ):
        self._layers, self._names = layers(model), _names(model)
        self._start, self._end, self._moved = start, end, moved

    def __getitem__(self, name: str) -> Tensor:
        a, b = self._names[name]
        (start_a, end_a), (start_b, end_b) = ((self._start[n], self._end[n]) for n in (a, b))
        if self._moved is None:
            by_a, by_b = end_a - start_a, end_b - start_b
        else:
            by_a, by_b = (
                self._moved[n].to(end) if n in self._moved else torch.zeros_like(end)
                for n, end in ((a, end_a), (b, end_b))
            )
        product = by_b @ ((start_a + end_a) / 2) + ((start_b + end_b) / 2) @ by_a
        return _as_weight(self._layers[name.removesuffix(".base_layer.weight")], product)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _as_weight(layer: Any, product: Tensor) -> Tensor:
    """s · BA in the shape of the weight that it is added to."""
    scaled = product * layer.scaling[layer.active_adapters[0]]
    return scaled.T if layer.fan_in_fan_out else scaled


@contextlib.contextmanager
def half_way(model: nn.Module, start: Mapping[str, Tensor]) -> Iterator[None]:
    """Within it W is half-way between what it was at `start` of the adapters and what it is.

    That is not s · B̄Ā, and of a higher rank: the rest, s · ¼ ΔBΔA, is added to W0.
    """
    names, parameters = _names(model), dict(model.named_parameters())
    all_layers = layers(model)
    end = {name: p.detach().clone() for name, p in weights(model).items()}
    kept = {name: parameters[name].detach().clone() for name in names}
    try:
        with torch.no_grad():
            for name, (a, b) in names.items():
                rest = (end[b] - start[b]) @ (end[a] - start[a]) / 4
                layer = all_layers[name.removesuffix(".base_layer.weight")]
                parameters[name].add_(_as_weight(layer, rest))
            for name, value in end.items():
                parameters[name].copy_((start[name] + value) / 2)
        yield
    finally:
        with torch.no_grad():
            for name, value in (end | kept).items():
                parameters[name].copy_(value)


@contextlib.contextmanager
def switched_off(model: nn.Module) -> Iterator[None]:
    """Within it the model computes without its adapters."""
    adapted = list(layers(model).values())
    try:
        for layer in adapted:
            # Its public switch would also change which parameters are trainable.
            layer._disable_adapters = True
        yield
    finally:
        for layer in adapted:
            layer._disable_adapters = False


class Original:
    """θ_o beside a model with adapters: the same one with these switched off, without a copy."""

    def __init__(self, model: PreTrainedModel):
        self.model = model

    def __call__(self, **arguments: Any) -> Any:
        """The output of θ_o, which has no dropout even while the model is trained."""
        with evaluating(self.model), switched_off(self.model):
            return self.model(**arguments)

    def parameters(self) -> Iterator[nn.Parameter]:
        """None of its own, that could rest elsewhere (`offload.aside`)."""
        return iter(())


def original_beside(
    model: PreTrainedModel, folder: str | Path, device: torch.device | str
) -> PreTrainedModel:
    """θ_o, to be looked at while a model is trained or measured.

    Args:
        model: that is trained.
        folder: of θ_o, which is loaded unless the model has adapters.

    Raises:
        ModelError, DamagedError: as `load_model`.
    """
    if is_adapted(model):
        return cast(PreTrainedModel, Original(model))
    return load_original(folder, device)


def save(model: PreTrainedModel, folder: str | Path) -> None:
    """Writes the adapters of a model as PEFT does, into a folder that is there."""
    config = next(iter(cast(Any, model).peft_config.values())).to_dict()
    plain = {name: sorted(v) if isinstance(v, set) else v for name, v in config.items()}
    files.write_json(plain | {"inference_mode": True}, Path(folder) / _CONFIG)
    tensors = {_PEFT + name.replace(f".{_NAME}.", "."): p for name, p in weights(model).items()}
    save_file(
        {name: p.detach().contiguous() for name, p in tensors.items()},
        Path(folder) / _WEIGHTS,
        metadata={"format": "pt"},
    )


def save_weights(model: PreTrainedModel, folder: str | Path) -> None:
    """Writes a model, or if it has adapters these alone, into a folder that is there."""
    if is_adapted(model):
        save(model, folder)
    else:
        model.save_pretrained(folder)


def save_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, folder: str | Path
) -> None:
    """Writes a model as `folder.save_model`; adapters are merged in place, and lie beside it."""
    with files.written_folder(folder) as partial:
        if is_adapted(model):
            (partial / FOLDER).mkdir()
            save(model, partial / FOLDER)
            merge(model)
        fill(model, tokenizer, partial)


def load(model: PreTrainedModel, folder: str | Path) -> PreTrainedModel:
    """Puts saved adapters into a model, in place; it gets them if it has none.

    Raises:
        DamagedError: the folder holds no complete adapter, or one of another model.
    """
    folder = Path(folder)
    try:
        if not is_adapted(model):
            from peft import LoraConfig

            _injected(model, LoraConfig(**json.loads((folder / _CONFIG).read_text("utf-8"))))
        tensors = load_file(folder / _WEIGHTS)
        with torch.no_grad():
            for name, parameter in weights(model).items():
                parameter.copy_(tensors[_PEFT + name.replace(f".{_NAME}.", ".")])
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedError(folder, f"holds no adapter of this model ({why})") from error
    return model


def merge(model: PreTrainedModel) -> PreTrainedModel:
    """Adds the adapters to the weights that they belong to and takes them off, in place."""
    for name, layer in layers(model).items():
        above, _, own = name.rpartition(".")
        layer.merge()
        setattr(model.get_submodule(above), own, layer.get_base_layer())
    model.requires_grad_(True)
    if "peft_config" in vars(model):
        del model.peft_config
    return model


def adapter_in(folder: str | Path) -> Path | None:
    """The folder of the adapter in a folder of weights; None if there is none."""
    places = (Path(folder), Path(folder) / FOLDER)
    return next((place for place in places if (place / _CONFIG).is_file()), None)


def load_merged(
    folder: str | Path, original: str | Path, device: torch.device | str
) -> PreTrainedModel:
    """Loads the weights at a step of a run, with adapters merged into those of θ_o.

    Args:
        folder: of a model, or of an adapter alone.
        original: the folder of θ_o.

    Raises:
        ModelError, DamagedError: as `load_model` and `load`.
    """
    if adapter_in(folder) != Path(folder):
        return load_model(folder, device)
    return merge(load(load_model(original, device), folder))


class Steps:
    """Loads the models along a run with adapters: one model, whose adapters are exchanged.

    Args:
        original: the folder of θ_o.
        device: where to compute.
        seed: of the run.
        settings: the keys of `lora` in the configuration.
    """

    def __init__(
        self,
        original: str | Path,
        device: torch.device | str,
        seed: int,
        settings: Mapping[str, Any],
    ):
        self._load = partial(load_model, original, device)
        self._settings = {**settings, "seed": seed}
        self._model: PreTrainedModel | None = None

    def __call__(self, folder: str | Path) -> PreTrainedModel:
        """The model of a folder; without an adapter in it, that at the beginning."""
        if self._model is None:
            self._model = adapt(self._load(), **self._settings)
        adapter = adapter_in(folder)
        return self._model if adapter is None else load(self._model, adapter)


def loader(
    original: str | Path,
    device: torch.device | str,
    seed: int,
    settings: Mapping[str, Any] | None,
) -> Any:
    """A function that loads the model of a folder along a run: with adapters, or as it is."""
    if settings is None:
        return partial(load_model, device=device)
    return Steps(original, device, seed, settings)
