"""Tokens in Redis, for a fleet."""
