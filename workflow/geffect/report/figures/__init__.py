"""One file per figure; `report.registry` finds them."""
