"""What a job does not read at the moment, kept in the machine's memory instead of the card's.

Tensors are parked there, and brought back one by one where they are read, in the type that they
have: no number depends on it. That costs transfers, which is why each part is asked for by name.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager

import torch
from torch import Tensor
from transformers import PreTrainedModel

from geffect.errors import ModelError
from geffect.models.setting import Setting
from geffect.names import OFFLOADED


def prepare(parts: Iterable[str]) -> None:
    """Names the parts that are parked from now on, of `names.OFFLOADED`.

    Raises:
        ModelError: there is no such part.
    """
    _parts.set(parts)


def offloading(*parts: str) -> AbstractContextManager[None]:
    """Parks these parts, and no others, within it.

    Raises:
        ModelError: there is no such part.
    """
    return _parts.within(parts)


def _known(parts: Iterable[str]) -> frozenset[str]:
    found = frozenset(parts)
    if unknown := sorted(found - set(OFFLOADED)):
        raise ModelError(f"offload: {unknown[0]!r} is unknown; use {', '.join(OFFLOADED)}")
    return found


_parts: Setting[Iterable[str], frozenset[str]] = Setting((), _known)


def away(part: str) -> bool:
    """Whether a part is to be parked."""
    return part in _parts.now


class Parked(MutableMapping[str, Tensor]):
    """Tensors in the machine's memory; one that is read comes as a copy on its own device.

    What is changed in such a copy has to be set again.
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        self._devices = {name: tensor.device for name, tensor in tensors.items()}
        self.resting: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            self.resting[name] = lowered(tensor)

    def __getitem__(self, name: str) -> Tensor:
        return raised(self.resting[name], self._devices[name])

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        self.resting[name].copy_(tensor)

    def __delitem__(self, name: str) -> None:
        del self.resting[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.resting)

    def __len__(self) -> int:
        return len(self.resting)


def lowered(tensor: Tensor) -> Tensor:
    """A copy in the machine's memory, from where a GPU fetches it at full speed."""
    copy = torch.empty(
        tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=tensor.device.type == "cuda"
    )
    return copy.copy_(tensor.detach())


def raised(resting: Tensor, device: torch.device) -> Tensor:
    """A copy on a device."""
    return resting.to(device, copy=True)


def parked(part: str, tensors: MutableMapping[str, Tensor]) -> MutableMapping[str, Tensor]:
    """The tensors, parked if this part is to be; the given ones are then not needed any more."""
    return Parked(tensors) if away(part) else tensors


@contextlib.contextmanager
def aside(part: str, model: PreTrainedModel | None) -> Iterator[None]:
    """A model that nobody runs within it, parked if this part is to be."""
    parameters = [] if model is None or not away(part) else list(model.parameters())
    devices = [parameter.device for parameter in parameters]
    try:
        for parameter in parameters:
            parameter.data = lowered(parameter.data)
        yield
    finally:
        for parameter, device in zip(parameters, devices, strict=True):
            parameter.data = raised(parameter.data, device)


def resting(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors where they rest."""
    return tensors.resting if isinstance(tensors, Parked) else tensors


class Summed(Mapping[str, Tensor]):
    """a + factor · b, made when read: b may lack parameters, which count as zero.

    Args:
        a, b: parameter -> tensor.
        factor: of b.
    """

    def __init__(self, a: Mapping[str, Tensor], b: Mapping[str, Tensor], factor: float = 1):
        self.a, self.b, self.factor = a, b, factor

    def __getitem__(self, name: str) -> Tensor:
        first = self.a[name]
        if name not in self.b:
            return first
        return torch.add(first, self.b[name].to(first.device), alpha=self.factor)

    def __iter__(self) -> Iterator[str]:
        return iter(self.a)

    def __len__(self) -> int:
        return len(self.a)
