"""An embedded server that answers like the Exterview API: for trying the library, and for tests."""

from importlib.util import find_spec

if find_spec("graphql") is None:
    raise ImportError("the emulator needs graphql-core: install exterview-auth[emulator]")

from ._emulator import Emulator
from ._stats import EmulatorStats

__all__ = ["Emulator", "EmulatorStats"]
