"""Every block of the README is run: the programs against the emulator, the commands as they are."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import DummyCookieJar
from redis.asyncio import Redis
from sybil import Document
from sybil.parsers.abstract.lexers import LexerCollection
from sybil.parsers.markdown.lexers import FencedCodeBlockLexer

from exterview_auth.emulator import Emulator

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RECIPES = ROOT / "tests" / "recipes" / "README.md"


def blocks(language: str, page: Path = README) -> list[str]:
    """Return the blocks of a *page* in *language*, in their order."""
    lexer = LexerCollection([FencedCodeBlockLexer(language, mapping={"source": "source"})])
    document = Document(page.read_text(encoding="utf-8"), str(page))
    return [lexed.lexemes["source"] for lexed in lexer(document)]


PROGRAM, *SNIPPETS = blocks("python")
DEMO, TESTS, SERVE, FLEET, COMMANDS = blocks("sh")
LAST_SNIPPET = "await emulator.stop()"


def search_path() -> str:
    """Return a search path that finds our command first, as in an activated environment."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def environment(emulator: Emulator) -> dict[str, str]:
    """Return the process's environment and the variables that the emulator's command prints."""
    return {
        **os.environ,
        "PATH": search_path(),
        "EXTERVIEW_ENDPOINT": emulator.endpoint,
        "EXTERVIEW_API_KEY": emulator.api_key,
        "EXTERVIEW_EMAIL": emulator.email,
        "EXTERVIEW_PASSWORD": emulator.password,
    }


async def completed(*command: str, **options: Any) -> tuple[int | None, str, str]:
    """Return exit code, standard output and standard error."""
    pipe = subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, **options)
    out, error = await asyncio.wait_for(process.communicate(), 120)
    return process.returncode, out.decode(), error.decode()


async def test_the_shortest_program_runs_as_it_is() -> None:
    """With the variables set, it prints the answer."""
    async with Emulator() as emulator:
        code, out, error = await completed(sys.executable, "-c", PROGRAM, env=environment(emulator))
        assert (code, error) == (0, "")
        assert re.fullmatch(r"\d+ interviews\n", out)


REDIS = "redis://127.0.0.1:6379/0"


async def test_the_snippets_run_one_after_another(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each continues the one before in one async function; a Redis that they name is a real one."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    assert sum(REDIS in snippet for snippet in SNIPPETS) == 1
    # What closes everything comes last; a page of its own goes on from there.
    closing = [snippet for snippet in SNIPPETS if LAST_SNIPPET in snippet]
    others = [snippet for snippet in SNIPPETS if snippet not in closing] + blocks("python", RECIPES)
    for number, snippet in enumerate((snippet.replace(REDIS, redis_url) for snippet in (*others, *closing)), 1):
        code = compile(snippet, f"snippet {number}", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        result = eval(code, namespace)
        if inspect.isawaitable(result):
            await result
    assert len(closing) == 1
    assert len(SNIPPETS) >= 8
    assert isinstance(namespace["shared_http"].cookie_jar, DummyCookieJar)  # one session for a pool's accounts
    async with Redis.from_url(redis_url) as client:
        assert len(await client.keys("exterview_auth:*:token")) == 1
    assert [file.suffix for file in (tmp_path / "tokens").glob("*.token")] == [".token"]


def test_the_two_commands_need_nothing_but_python_and_pip() -> None:
    """Each is one line and creates its own environment, because systems may refuse global installs."""
    for command in (DEMO, TESTS):
        line = command.strip()
        assert "\n" not in line
        first, second, _ = line.split(" && ")
        assert first == "python3 -m venv --without-pip .venv"
        assert second.startswith("python3 -m pip --python .venv/bin/python install -e ")
    assert DEMO.split(" && ")[2].strip() == ".venv/bin/exterview-auth demo"
    assert TESTS.split(" && ")[2].strip() == ".venv/bin/python -m pytest -n auto"


async def test_the_demo_prints_what_the_readme_shows() -> None:
    """The same rows, the same summary, no failure."""
    shown = blocks("text")[0]
    code, out, error = await completed(sys.executable, "-m", "exterview_auth", *shlex.split(DEMO.split(" && ")[2])[1:])
    assert (code, error) == (0, "")
    labels = {line.split()[0] for line in shown.splitlines() if line[:1].isalpha()}
    assert labels <= {line.split()[0] for line in out.splitlines() if line[:1].isalpha()}
    for line in ("failures  0", "logins    2: 1 at the start, 1 after the revocation"):
        assert line in shown
        assert line in out


async def test_the_commands_do_what_the_readme_says(tmp_path: Path) -> None:
    """With the environment's credentials the check passes, tokens are printed for programs, and nothing is wrong."""
    async with Emulator() as emulator:
        code, out, error = await completed("sh", "-ec", COMMANDS, env=environment(emulator), cwd=tmp_path)
    assert (code, error) == (0, "")
    checked, answer = out.partition('{"data"')[::2]
    assert "ok" in checked
    for_curl, for_programs, for_kubectl, *examined = (answer and f'{{"data"{answer}').replace("}{", "}\n{").splitlines()
    assert json.loads(for_curl) == {"data": {"__typename": "Query"}}
    assert json.loads(for_programs)["access_token"] == json.loads(for_kubectl)["status"]["token"]
    assert all(line.startswith("ok ") for line in examined)


async def test_the_emulator_sets_the_variables(tmp_path: Path) -> None:
    """It serves in the background, the check passes with what it prints, and it can be ended."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("EXTERVIEW_")}
    on_any_port = SERVE.replace("--port 8023", "--port 0") + "\nkill $EMULATOR_PID"
    code, out, error = await completed("bash", "-ec", on_any_port, env={**environ, "PATH": search_path()}, cwd=tmp_path)
    assert code == 0, error
    assert re.fullmatch(r"The emulator's page is at http://127\.0\.0\.1:\d+/\n", error)
    assert "http://127.0.0.1:" in out


def test_ci_runs_the_readmes_own_commands() -> None:
    """They cannot differ: the script takes them from the README."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "demo() { readme 1; }" in script
    assert re.search(r"tests\(\) \{.* readme 2; \}", script)
    assert "--python .venv" not in script


async def test_the_fleets_demo_does_what_the_readme_says() -> None:
    """Several processes, one login at the start and one after the revocation."""
    code, out, error = await completed("sh", "-c", FLEET, env={**os.environ, "PATH": search_path()})
    assert (code, error) == (0, "")
    assert "2: 1 at the start, 1 after the revocation" in out
