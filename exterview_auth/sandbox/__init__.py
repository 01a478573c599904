"""An embedded server that answers like the Exterview API: for trying the library, and for tests."""

from importlib.util import find_spec

if find_spec("graphql") is None:
    raise ImportError("the sandbox needs graphql-core: install exterview-auth[sandbox]")

from ._counters import SandboxStats
from ._sandbox import Sandbox

__all__ = ["Sandbox", "SandboxStats"]
