"""Tests of ``stores/_redis``."""
