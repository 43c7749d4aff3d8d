"""The likes backend: what viewers do is stored first, and then published, for certain."""
