"""What the library costs in one process: each module named in the command has a ``report``."""
