"""One request and its answer, on real sockets."""
