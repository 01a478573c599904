"""Tests of ``stores/_file``."""
