"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version


def machine() -> dict[str, str]:
    """Versions and cores, as printed above the tables."""
    return {
        "python": platform.python_version(),
        "aiohttp": version("aiohttp"),
        "yarl": version("yarl"),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
    }
