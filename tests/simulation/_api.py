"""The simulated platform: it issues tokens, accepts the good ones, refuses the others, and misbehaves as planned."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
from collections import deque
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from ._answers import ELSEWHERE, answer, misbehave
from ._loop import SimulatedLoop
from ._network import Arrived, Network
from ._plan import Setting
from .fleet.network import Dice

if TYPE_CHECKING:
    from ._rules import Monitor

API, LOGIN = "api.exterview.ai", "login.exterview.ai"
REFUSES = "X-Refuses"
"""The header of an answer that refuses in its body: for the monitor alone."""
_UNAUTHENTICATED = {"data": None, "errors": [{"message": "no", "extensions": {"code": "UNAUTHENTICATED"}}]}
_STATUSES = {"refused": 401, "refused for ever": 401, "refused early": 401}
_LOGIN_ERRORS = {
    "graphql error": {"errors": [{"message": "wrong password", "extensions": {"code": "UNAUTHENTICATED"}}]},
    "no token": {"data": {"login": {"token": None}}},
    "html": b"<html>please come back</html>",
    "control characters": {"data": {"login": {"token": "a\nb"}}},
}


class Issued:
    """A token as the platform knows it: it is good until ``ends``, or until it was ``revoked_at``."""

    __slots__ = (
        "account",
        "asked",
        "came",
        "ends",
        "number",
        "ours",
        "refresh",
        "refused",
        "revoked_at",
        "text",
        "vague",
    )

    def __init__(self, number: int, account: str, ends: float, refresh: str) -> None:
        self.number = number
        self.account = account
        self.text = f"token-{number}-of-{account}"
        self.refresh = refresh
        self.ends = ends
        self.revoked_at = math.inf
        self.ours = math.inf
        """Its end as its owner knows it: counted from the sending of the login, with half of its life left at the answer."""
        self.refused = False
        """Whether a request with it was refused, for any reason."""
        self.asked = -math.inf
        """When the login that returned it began, and when its owner had the answer."""
        self.came = math.inf
        self.vague = False
        """Whether a login had nothing newer although it was over for its owner: then only the platform knows its end."""

    def good(self, now: float) -> bool:
        return now < min(self.ends, self.revoked_at)


class Platform:
    """``troubles`` has, by a request's name, what goes wrong with its next attempts; ``login_troubles`` with the next logins."""

    def __init__(self, loop: SimulatedLoop, network: Network, setting: Setting, dice: Dice) -> None:
        self._loop = loop
        self._setting = setting
        self._dice = dice
        self._numbers = itertools.count(1)
        self.monitor: Monitor
        self.tokens: dict[str, Issued] = {}
        self._refresh: dict[str, str] = {}
        self.reused = 0
        """How often a refresh token was presented after its rotation."""
        self.key = "key-1"
        self.rotated = -math.inf
        self.troubles: dict[str, deque[str]] = {}
        self.login_troubles: deque[str] = deque()
        self._network = network
        network.servers.update({API: self._serve, LOGIN: self._serve_oauth, ELSEWHERE: self._serve_elsewhere})

    # -- what the world does -----------------------------------------------------------------------------------------

    def issue(self, account: str) -> Issued:
        """Issue a token; if a user may have only one session, that ends the others."""
        if self._setting.one_session:
            self.revoke(account)
        number = next(self._numbers)
        life = self._setting.lifetime
        ends = math.inf if life is None else self._loop.now + life
        issued = Issued(number, account, ends, f"refresh-{number}-of-{account}")
        self.tokens[issued.text] = issued
        self._refresh[account] = issued.refresh
        return issued

    def revoke(self, account: str | None = None) -> None:
        """End all tokens of *account*, or of all accounts."""
        for issued in self.tokens.values():
            if account in (None, issued.account):
                issued.revoked_at = min(issued.revoked_at, self._loop.now)

    def age(self, seconds: float) -> None:
        """Make all tokens older: the one machine of the run slept."""
        for issued in self.tokens.values():
            issued.ends -= seconds
            issued.ours -= seconds

    def rotate(self) -> None:
        self.key = f"key-{next(self._numbers)}"
        self.rotated = self._loop.now

    # -- requests ---------------------------------------------------------------------------------------------------

    async def _serve(self, request: Arrived) -> None:
        if b"Login" in (body := await self._early(request)):
            await self._serve_login(request, json.loads(body)["variables"]["email"])
            return
        name = request.headers.get("X-Name", "")
        trouble = self._next_trouble(name)
        await asyncio.sleep(self._dice.between(0.0, self._setting.slowest_answer))
        issued = self._token_of(request)
        good = issued is not None and issued.good(self._loop.now) and request.headers.get("x-api-key") == self.key
        if issued is not None and (not good or trouble.startswith(("refused", "unauth"))):
            issued.refused = True
        whole = None if trouble == "refused early" else body + await request.body()
        self.monitor.arrived(request, issued, whole)
        await self._answer(request, name, trouble, good=good)

    async def _early(self, request: Arrived) -> bytes:
        """Read the body of a possible login; callers' requests have a name, and may be answered before their body is read."""
        return b"" if "X-Name" in request.headers else await request.body()

    def _next_trouble(self, name: str) -> str:
        left = self.troubles.get(name)
        if not left:
            return ""
        return left[0] if left[0] == "refused for ever" else left.popleft()

    def _token_of(self, request: Arrived) -> Issued | None:
        for header in ("Authorization", "x-api-key", "Content-Type"):
            if len(request.headers.getall(header, ())) != 1:
                self.monitor.broken("13: exactly one of each header", f"{header} in {dict(request.headers)}")
        return self.tokens.get(request.headers.get("Authorization", "").removeprefix("Bearer "))

    async def _answer(self, request: Arrived, name: str, trouble: str, *, good: bool) -> None:
        wire = request.wire
        if not good or trouble in _STATUSES:
            wire.send(answer(401, {"error": "Missing or invalid token"}))
        elif trouble == "refused and closed":
            wire.send(answer(401, {"error": "no"}, headers={"Connection": "close"}))
            wire.close()
        elif trouble == "refused without end":
            wire.send(answer(401, b"{", length=10**9))
        elif trouble == "unauthenticated":
            wire.send(answer(200, _UNAUTHENTICATED, headers={REFUSES: "in its body"}))
        elif trouble.startswith("status"):
            wire.send(answer(int(trouble[7:]), {"error": trouble}))
        elif trouble:
            await misbehave(request, trouble)
        else:
            wire.send(answer(200, {"data": {"name": name}}))

    async def _serve_elsewhere(self, request: Arrived) -> None:
        if "Authorization" in request.headers or "x-api-key" in request.headers:
            self.monitor.broken("10: credentials go to our origins alone", f"{dict(request.headers)}")
        request.wire.send(answer(401, {"error": "who are you?"}))

    # -- logins -----------------------------------------------------------------------------------------------------

    async def _serve_login(self, request: Arrived, account: str) -> None:
        trouble = await self._login_trouble(request)
        if trouble is None:
            return
        issued = self._issue_for(account, trouble)
        content = {"token": issued.text, "expiresIn": self._setting.lifetime}
        request.wire.send(answer(200, {"data": {"login": content}}))

    async def _serve_oauth(self, request: Arrived) -> None:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        trouble = await self._login_trouble(request)
        if trouble is None:
            return
        presented = form.get("refresh_token", "")
        account = form.get("username") or presented.partition("-of-")[2]
        if presented and presented != self._refresh.get(account):
            self.reused += 1
            request.wire.send(answer(400, {"error": "invalid_grant"}))
            return
        issued = self._issue_for(account, trouble)
        content: dict[str, Any] = {"access_token": issued.text, "refresh_token": issued.refresh, "token_type": "bearer"}
        if self._setting.lifetime is not None:
            content["expires_in"] = self._setting.lifetime
        request.wire.send(answer(200, content))

    def _issue_for(self, account: str, trouble: str) -> Issued:
        issued = self.issue(account)
        if trouble == "useless":
            issued.revoked_at = self._loop.now
        return issued

    async def _login_trouble(self, request: Arrived) -> str | None:
        """Return what goes wrong with a login that succeeds all the same, or None if it has been answered."""
        trouble = self.next_login_trouble()
        await asyncio.sleep(self._dice.between(self._setting.quickest_login, self._setting.slowest_login))
        if trouble in ("", "useless"):
            return trouble
        if trouble.startswith("status"):
            headers = {"Retry-After": self._dice.of(("2", "20"))} if trouble in ("status 429", "status 503") else None
            request.wire.send(answer(int(trouble[7:]), {"error": "not now"}, headers=headers))
        elif trouble in _LOGIN_ERRORS:
            request.wire.send(answer(200, _LOGIN_ERRORS[trouble]))
        else:
            await misbehave(request, trouble)
        return None

    def next_login_trouble(self) -> str:
        return self.login_troubles.popleft() if self.login_troubles else ""
