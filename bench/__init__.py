"""Reproducible benchmarks of this server (see README.md)."""
