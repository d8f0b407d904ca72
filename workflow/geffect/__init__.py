"""geffect: gradient effects (G-effects) of LLM unlearning objectives.

Importing the package loads neither torch nor transformers, since a workflow that only plans needs
just the registry and the configuration. Everything else is imported on first use.
"""

import importlib
import time
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# What a job imports after this, torch for one, counts as its time.
IMPORTED = time.monotonic()

if TYPE_CHECKING:
    from geffect.data.encoding import Encoder as Encoder
    from geffect.data.encoding import Example as Example
    from geffect.data.templates import Template as Template
    from geffect.effects.callback import GEffectCallback as GEffectCallback
    from geffect.effects.measure import measure as measure
    from geffect.effects.measure import measure_instances as measure_instances
    from geffect.effects.measure import measure_tokens as measure_tokens
    from geffect.effects.reweighting import reweighted as reweighted
    from geffect.effects.rules import product_rule as product_rule
    from geffect.errors import GeffectError as GeffectError
    from geffect.evaluation.folder import Evaluation as Evaluation
    from geffect.evaluation.folder import evaluate as evaluate
    from geffect.evaluation.samples import EvaluationSettings as EvaluationSettings
    from geffect.losses.given import function_loss as function_loss
    from geffect.losses.loss import RISK as RISK
    from geffect.losses.loss import Loss as Loss
    from geffect.losses.loss import objective as objective
    from geffect.losses.loss import regularizer as regularizer
    from geffect.losses.view import View as View
    from geffect.models.components import component_map as component_map
    from geffect.models.folder import load_model as load_model
    from geffect.report.tables.geffect import cumulated as cumulated
    from geffect.report.tables.main import main_table as main_table

_PUBLIC = {
    "Encoder": "geffect.data.encoding",
    "Evaluation": "geffect.evaluation.folder",
    "EvaluationSettings": "geffect.evaluation.samples",
    "Example": "geffect.data.encoding",
    "GEffectCallback": "geffect.effects.callback",
    "GeffectError": "geffect.errors",
    "Loss": "geffect.losses.loss",
    "RISK": "geffect.losses.loss",
    "Template": "geffect.data.templates",
    "View": "geffect.losses.view",
    "component_map": "geffect.models.components",
    "cumulated": "geffect.report.tables.geffect",
    "evaluate": "geffect.evaluation.folder",
    "function_loss": "geffect.losses.given",
    "load_model": "geffect.models.folder",
    "main_table": "geffect.report.tables.main",
    "measure": "geffect.effects.measure",
    "measure_instances": "geffect.effects.measure",
    "measure_tokens": "geffect.effects.measure",
    "objective": "geffect.losses.loss",
    "product_rule": "geffect.effects.rules",
    "regularizer": "geffect.losses.loss",
    "reweighted": "geffect.effects.reweighting",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'geffect' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
