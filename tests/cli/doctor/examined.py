"""The checks of one run of the doctor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.kit.command import Done, ran


@dataclass(frozen=True)
class Examined:
    """The exit code, and each check by its name."""

    code: int
    checks: dict[str, dict[str, Any]]
    text: str

    def __getitem__(self, name: str) -> str:
        """Return one check as its line begins: status, detail and remedy."""
        check = self.checks[name]
        return f"{check['status']} {'; '.join(filter(None, (check['detail'], check['remedy'])))}"


def examined(*arguments: str, environ: Mapping[str, str] | None = None, run: Callable[..., Done] = ran) -> Examined:
    """Run the doctor for programs; each of its checks has the four fields, and every failure its remedy."""
    done = run("doctor", "--json", *arguments, environ=environ)
    assert done.out.count("\n") == 1, done
    answer = json.loads(done.out)
    assert set(answer) == {"ok", "checks"}
    for check in answer["checks"]:
        assert set(check) == {"name", "status", "detail", "remedy"}
        assert check["status"] in {"ok", "warn", "fail"}
        assert check["detail"]
        assert bool(check["remedy"]) == (check["status"] != "ok"), check
        assert check["detail"].isprintable()
    failed = any(check["status"] == "fail" for check in answer["checks"])
    assert answer["ok"] is not failed
    assert done.code == (2 if done.err else int(failed)), done
    checks = {check["name"]: check for check in answer["checks"]}
    assert len(checks) == len(answer["checks"])
    return Examined(done.code, checks, done.out + done.err)
