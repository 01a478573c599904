"""The lowest versions that ``pyproject.toml`` allows, installed and tested: ``python -m tests.lowest``."""
