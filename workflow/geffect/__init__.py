"""geffect: gradient effects (G-effects) of LLM unlearning objectives.

Importing the package imports neither torch nor transformers: a workflow that only plans
reads the registry and the configuration from here.
"""

__version__ = "0.1.0"
