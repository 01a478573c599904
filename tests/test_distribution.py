"""What the index shows of a release, and that the files which tell of it agree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REPOSITORY: str = PROJECT["project"]["urls"]["Source"]


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    """What the build backend makes of ``pyproject.toml``."""
    command = [sys.executable, "-m", "hatchling", "metadata"]
    made = subprocess.run(command, capture_output=True, check=True, text=True, encoding="utf-8", cwd=ROOT)
    found: dict[str, Any] = json.loads(made.stdout)
    return found


def targets(markdown: str) -> list[str]:
    """Return where the links and pictures of *markdown* lead, those in HTML too."""
    found: list[str] = []
    blocks = MarkdownIt("commonmark").enable("table").parse(markdown)
    for token in [*blocks, *(child for block in blocks for child in block.children or ())]:
        found += [str(value) for name, value in token.attrs.items() if name in {"href", "src"}]
        if token.type in {"html_inline", "html_block"}:
            found += re.findall(r'(?:href|src|srcset)="([^"]*)"', token.content)
    return found


def test_the_index_shows_no_relative_link(metadata: dict[str, Any]) -> None:
    """The page on the index is elsewhere: links and pictures lead to the project's files at the version's tag."""
    readme: dict[str, str] = metadata["readme"]
    assert readme["content-type"] == "text/markdown"
    written = [target for target in targets((ROOT / "README.md").read_text("utf-8")) if not target.startswith("http")]
    shown = targets(readme["text"])
    assert [target for target in shown if not re.match(r"https://|mailto:", target)] == []
    at_the_tag = [target for target in shown if re.match(rf"{REPOSITORY}/(blob|raw)/v{metadata['version']}/", target)]
    assert len(at_the_tag) == len(written)
    for target in at_the_tag:
        file = target.removeprefix(REPOSITORY).split("/", 3)[3].partition("#")[0]
        assert (ROOT / file).exists(), target


def test_pictures_are_shown_as_files_and_not_as_pages(metadata: dict[str, Any]) -> None:
    """A forge's page around a picture is no picture."""
    pictures = [target for target in targets(metadata["readme"]["text"]) if target.endswith((".svg", ".png"))]
    assert pictures
    assert all("/raw/" in target for target in pictures if target.startswith(REPOSITORY))


def test_the_code_on_the_index_is_the_readmes(metadata: dict[str, Any]) -> None:
    """What makes links absolute leaves code as it is."""
    fences = [
        [token.content for token in MarkdownIt().parse(text) if token.type == "fence"]
        for text in ((ROOT / "README.md").read_text(encoding="utf-8"), metadata["readme"]["text"])
    ]
    assert fences[0] == fences[1]


def test_the_repositorys_address_stands_in_one_place() -> None:
    """All of the project's links begin with it, and no page of the repository names another."""
    assert all(url.startswith(REPOSITORY) for url in PROJECT["project"]["urls"].values())
    for page in ("README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md", ".github/CHANGELOG.md"):
        for url in re.findall(r"https://github\.com/exterview[\w./-]*", (ROOT / page).read_text(encoding="utf-8")):
            assert url.startswith(REPOSITORY), page


def test_the_version_has_an_entry_in_the_changelog() -> None:
    """The newest entry is about the version that would be built, and says something."""
    changelog = (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, *_ = re.split(r"^## ", changelog, flags=re.MULTILINE)[1:]
    assert re.match(rf"\[{re.escape(PROJECT['project']['version'])}\] - (unreleased|\d{{4}}-\d\d-\d\d)\n", newest)
    assert re.search(r"^### (Added|Changed|Deprecated|Removed|Fixed|Security)\n\n- ", newest, re.MULTILINE)


def test_classifiers_name_what_the_workflow_runs() -> None:
    """A version of Python is claimed only if it is run."""
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    run = re.findall(r"3\.\d+", (re.findall(r"^ +python: \[(.*)\]$", workflow, re.MULTILINE) or [""])[0])
    claimed = [
        classifier.rpartition(" ")[2]
        for classifier in PROJECT["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", classifier)
    ]
    assert claimed
    assert set(claimed) <= set(run)
    assert PROJECT["project"]["requires-python"] == f">={claimed[0]}"


def test_every_action_is_pinned_by_its_commit() -> None:
    """A tag can be moved; and the workflow that publishes runs on tags alone, with one permission."""
    workflows = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").iterdir()}
    for name, text in workflows.items():
        for action in re.findall(r"uses: (.*)", text):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), name
    release = workflows["release.yml"]
    assert re.search(r'^on:\n  push:\n    tags: \["v\*"\]\npermissions: \{\}\n', release, re.MULTILINE)
    assert re.findall(r"^ +([\w-]+): write", release, re.MULTILINE) == ["id-token"]
