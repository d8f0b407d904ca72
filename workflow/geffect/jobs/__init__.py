"""How jobs are run, recorded and monitored; no number depends on what is here."""
