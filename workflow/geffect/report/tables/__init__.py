"""One file per table; `report.registry` finds them."""
