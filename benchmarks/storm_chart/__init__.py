"""The README's picture of a storm, recorded and drawn."""
