"""Holds the viewers: what is subscribed, what was heard, who is told."""
