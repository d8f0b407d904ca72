"""Tables and figures, from frames alone: nothing here needs torch."""
