"""Whether the engine understands an architecture of which only the config is there.

So that no weights are downloaded which could not be measured.
"""

import copy
import logging

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from geffect.effects.measurement import check_model
from geffect.errors import ModelError
from geffect.models.components import component_map
from geffect.names import MINIMUM_BLOCKS

_VOCABULARY, _WIDTH = 8, 8  # of a head; rotary embeddings need it even

log = logging.getLogger(__name__)


def check_config(config: PretrainedConfig, instances: bool, tokens: bool, where: str) -> None:
    """Tries the passes of the engine on a small model of the same architecture.

    An architecture that cannot be made small is left to `measurement.check_model`, which sees the
    whole model; a warning says so.

    Raises:
        ModelError: transformers has no causal language model of this architecture, a parameter
            belongs to no component, or, naming the settings without which the rest works, an asked
            table cannot be measured.
    """
    try:
        with torch.device("meta"):
            whole = AutoModelForCausalLM.from_config(config)
    except (KeyError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        why = " ".join(str(error).split())
        raise ModelError(f"{where}: no causal language model ({why}); use another model") from error
    component_map(whole)
    try:
        model = _small(config)
    except Exception as error:  # whatever an architecture makes of sizes that it was not meant for
        log.warning("%s: tried only once its weights are there (%s)", where, error)
        return
    check_model(model, instances, tokens)


def _small(config: PretrainedConfig) -> PreTrainedModel:
    """A model of the same kinds of modules, with few blocks and few parameters."""
    small = copy.deepcopy(config)
    own = small.to_dict()
    sizes = {"num_hidden_layers": MINIMUM_BLOCKS, "vocab_size": _VOCABULARY}
    sizes |= {"hidden_size": _WIDTH * small.num_attention_heads, "intermediate_size": 2 * _WIDTH}
    sizes |= {"head_dim": _WIDTH} if own.get("head_dim") is not None else {}
    for name, size in sizes.items():
        setattr(small, name, size)
    if own.get("layer_types"):
        small.layer_types = list(own["layer_types"][:MINIMUM_BLOCKS])
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(small, name, None)
    with torch.random.fork_rng(devices=[]):
        return AutoModelForCausalLM.from_config(small, dtype=torch.float32).eval()
