"""The ways to log in, against servers that answer oddly."""
