"""Tokens in private files, for the processes of one host."""
