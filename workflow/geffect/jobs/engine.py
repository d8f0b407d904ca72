"""What training and downloads ask of the engine beforehand: whether it can measure a model.

Nothing that they make depends on the engine, so a change of it must not plan them again. Hence it
is called by name, and from here, where no code hash looks.
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
