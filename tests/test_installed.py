"""What an installed distribution has beside its modules; `.ci/run dist` runs this against the wheel."""

from __future__ import annotations

import re
from importlib.metadata import distribution, entry_points
from importlib.resources import files
from pathlib import Path

import pytest

import exterview_auth


@pytest.mark.parametrize(
    "name",
    [
        "py.typed",
        "llms.txt",
        "telemetry/dashboard.json",
        "emulator/_page.html",
        "emulator/_page.css",
        "emulator/_page.js",
    ],
)
def test_files_that_are_no_modules_are_installed(name: str) -> None:
    """Type checkers, people, the emulator's page and the dashboard need them."""
    assert files("exterview_auth").joinpath(name).is_file()


def test_the_command_and_the_plugin_are_announced() -> None:
    """A shell finds ``exterview-auth``, and pytest the fixtures."""
    assert entry_points(group="console_scripts", name="exterview-auth")
    assert entry_points(group="pytest11", name="exterview_auth")


def test_the_version_is_that_of_the_distribution() -> None:
    """The metadata belongs to the package that is imported: both are the wheel's, or both the clone's."""
    found = distribution("exterview-auth")
    assert exterview_auth.__version__ == found.version
    installed = {Path(str(found.locate_file(file))).resolve() for file in found.files or ()}
    package = Path(exterview_auth.__file__).resolve()
    editable = any(re.search(r"_editable_impl|\.pth$", file.name) for file in found.files or ())
    assert package in installed or editable
