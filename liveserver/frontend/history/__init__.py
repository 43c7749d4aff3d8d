"""The recent log of a video on this node."""
