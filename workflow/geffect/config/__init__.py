"""The configuration: checked as a whole before anything runs, resolved per cell."""

from geffect.config.checks import SCHEMA as SCHEMA
from geffect.config.config import CellKey as CellKey
from geffect.config.config import Config as Config
