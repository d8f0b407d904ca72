"""Whether the engine understands an architecture of which only the config is there.

So that no weights are downloaded which could not be measured.
"""

import logging

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig

from geffect.effects.measurement import check_model
from geffect.errors import ModelError
from geffect.models.components import component_map
from geffect.models.small import small

log = logging.getLogger(__name__)


def check_config(config: PretrainedConfig, instances: bool, tokens: bool, where: str) -> None:
    """Tries the passes of the engine on a small model of the same architecture.

    An architecture that cannot be made small is left to `measurement.check_model`, which sees the
    whole model; a warning says so.

    Raises:
        ModelError: transformers has no causal language model of this architecture, it has no list
            of blocks, or, naming the settings without which the rest works, an asked table cannot
            be measured.
    """
    try:
        with torch.device("meta"):
            AutoModelForCausalLM.from_config(config)
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())
        raise ModelError(f"{where}: no causal language model ({why}); use another model") from error
    try:
        model = small(config)
        with torch.no_grad():
            model(input_ids=torch.zeros(1, 2, dtype=torch.long), use_cache=False)
    except Exception as error:  # whatever an architecture makes of sizes that it was not meant for
        log.warning("%s: tried only once its weights are there (%s)", where, error)
        return
    component_map(model)
    check_model(model, instances, tokens)
