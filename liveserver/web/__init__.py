"""The ordinary web: Quart-Trio applications behind the edge."""
