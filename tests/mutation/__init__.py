"""Mutants that survived, and whether their judgements still hold."""
