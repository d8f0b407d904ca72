"""Unlearning objectives, one file each; `geffect.losses.registry` says what a file declares."""
