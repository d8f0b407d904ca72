"""Retain objectives (regularizers), one file each; see `geffect.losses.registry`."""
