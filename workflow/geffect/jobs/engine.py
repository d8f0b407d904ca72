"""What jobs ask beforehand: whether the engine can measure a model, and whether it fits their GPUs.

Nothing that they make depends on the answer, so a change of what gives it must not plan them again.
Hence that is called by name, and from here, where no code hash looks.
"""

import importlib
from collections.abc import Mapping
from typing import Any


def check_model(model: Any, measured: Mapping[str, Any]) -> None:
    """Refuses now what the engine would refuse after hours of training.

    Args:
        measured: the section `geffect` of the configuration.

    Raises:
        ModelError: as `effects.measurement.check_model`.
    """
    engine = importlib.import_module("geffect.effects.measurement")
    engine.check_model(model, measured["instances"], measured["tokens"])


def check_config(config: Any, measured: Mapping[str, Any], where: str) -> None:
    """The same for a model of which only the Hugging Face config is there.

    Raises:
        ModelError: as `effects.architectures.check_config`.
    """
    engine = importlib.import_module("geffect.effects.architectures")
    engine.check_config(config, measured["instances"], measured["tokens"], where)


def check_gpus(device: Any, config: Mapping[str, Any], stage: str, wildcards: Any) -> None:
    """Refuses now what would run out of memory later.

    Args:
        device: on which the job computes (`models.compute.prepare`).
        config: the configuration.
        wildcards: of the job.

    Raises:
        ConfigError: as `cost.check.check_gpus`.
    """
    found = importlib.import_module("geffect.models.compute").gpus(device)
    check = importlib.import_module("geffect.cost.check")
    check.check_gpus(config, stage, dict(wildcards.items()), found)
