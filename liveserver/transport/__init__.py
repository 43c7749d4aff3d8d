"""One event, rendered per wire form: pure bytes, no sockets."""
