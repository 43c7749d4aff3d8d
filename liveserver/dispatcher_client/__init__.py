"""HTTP clients of the dispatchers: leases and publishing."""
