"""The hot HTTP/1.1 server: Trio's scheduler, plain sockets, httptools."""
