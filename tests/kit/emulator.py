"""Requests to the emulator, and what comes back."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import aiohttp
from aiohttp import ClientSession
from multidict import CIMultiDictProxy

from exterview_auth.emulator import Emulator

LOGIN = "mutation Login($email: String!, $password: String!) { login(email: $email, password: $password) { token expiresIn } }"
SMOKE = {"query": "query { __typename }"}


class Answer(NamedTuple):
    """A response that was read to its end."""

    status: int
    content: Any
    headers: CIMultiDictProxy[str]

    @property
    def body(self) -> tuple[int, Any]:
        """Everything except the headers."""
        return self.status, self.content


async def answer(request: AbstractAsyncContextManager[aiohttp.ClientResponse]) -> Answer:
    """Send *request* and read its JSON response."""
    async with request as response:
        return Answer(response.status, await response.json(), response.headers)


def credentials(emulator: Emulator, token: str | None = None) -> dict[str, str]:
    """Return both credentials as headers, with *token* or a new one."""
    return {"x-api-key": emulator.api_key, "Authorization": f"Bearer {token or emulator.issue_token()}"}


async def smoke(emulator: Emulator, http: ClientSession, token: str | None = None) -> int:
    """Return the status of the documented smoke test with *token*, or with a new one."""
    headers = credentials(emulator, token)
    return (await answer(http.post(emulator.endpoint, json=SMOKE, headers=headers))).status


async def log_in(emulator: Emulator, http: ClientSession, document: str = LOGIN, **changed: Any) -> Answer:
    """Log in with the API key alone; *changed* replaces variables."""
    variables = {"email": emulator.email, "password": emulator.password, **changed}
    body, headers = {"query": document, "variables": variables}, {"x-api-key": emulator.api_key}
    return await answer(http.post(emulator.endpoint, json=body, headers=headers))
