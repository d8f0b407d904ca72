"""What a configured grid will cost: memory, time, disk. Imports no torch."""
