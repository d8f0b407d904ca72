"""Retain objectives (regularizers), one file each; see `geffect.registry`."""
