"""What this server can do, measured, and measured again by anybody (see README.md)."""
