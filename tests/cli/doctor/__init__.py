"""`exterview-auth doctor`."""
