"""Unlearning objectives, one file each; see `geffect.registry` for what a file declares."""
