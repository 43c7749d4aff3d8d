"""The seam between nodes: one interface, in memory and over Redis."""
