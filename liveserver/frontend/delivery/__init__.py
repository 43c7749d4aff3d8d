"""From the log to the sockets: segments, fan-out, catch-up."""
