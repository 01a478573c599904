"""``POST /query``: the page's box for queries, signed by this library with the emulator's own credentials."""

from __future__ import annotations

import time

import aiohttp
from aiohttp import web
from yarl import URL

from exterview_auth import AuthSession, ExterviewAuth, ExterviewAuthError, PasswordLogin
from exterview_auth._json import json_value

from ._graphql.documents import OperationKind
from ._graphql.endpoint import graphql_request
from ._local_only import json_arguments
from ._responses import Refusal, json_response
from ._state import EmulatorState

GRAPHQL = "/graphql"

LOGIN_SECONDS = 10.0
"""How long a query waits for its login. Whoever has silenced the logins sees the sentence, and not an endless wait."""

QUERY_SECONDS = 60.0


class Console:
    """
    A client like any other: its requests go through the socket, are delayed and refused by the controls, and stand in the journal.

    So a query after a revocation shows what the library does: a refusal, one login, and the query again.
    """

    def __init__(self, state: EmulatorState) -> None:
        self._state = state
        self._auth: ExterviewAuth | None = None
        self._http: aiohttp.ClientSession | None = None

    async def run(self, request: web.Request) -> web.Response:
        """Send the query in the body, and answer with the status, the seconds and the body of what comes back."""
        sent = await json_arguments(request)
        if graphql_request(sent).kind is OperationKind.LOGIN:
            raise Refusal(400, "The box logs in by itself; the answer to a login has a token, which no page shows")
        api = self._api(request)
        begun = time.perf_counter()
        try:
            async with api.post(GRAPHQL, json=sent, timeout=aiohttp.ClientTimeout(QUERY_SECONDS)) as response:
                answer = json_value(await response.read())
        except ExterviewAuthError as error:
            raise Refusal(502, str(error)) from None
        except TimeoutError:
            raise Refusal(504, f"There was no answer within {QUERY_SECONDS:g} s") from None
        except aiohttp.ClientError as error:
            raise Refusal(502, f"The request failed ({type(error).__name__}); is the emulator stopping?") from None
        seconds = round(time.perf_counter() - begun, 6)
        return json_response({"status": response.status, "seconds": seconds, "answer": answer})

    async def close(self) -> None:
        """End the client and its requests. The next query begins with another one."""
        auth, self._auth = self._auth, None
        http, self._http = self._http, None
        if auth is not None and http is not None:
            await auth.aclose()
            await http.close()

    def _api(self, request: web.Request) -> AuthSession:
        accounts = self._state.accounts
        if self._auth is None or self._http is None:
            login = PasswordLogin(accounts.email, accounts.password)
            self._auth = ExterviewAuth(
                login, api_key=lambda: accounts.api_key, endpoint=_own_endpoint(request), login_timeout=LOGIN_SECONDS
            )
            self._http = aiohttp.ClientSession()
        return AuthSession(self._http, self._auth)


def _own_endpoint(request: web.Request) -> URL:
    """Return the endpoint on the socket that *request* came through; its ``Host`` may be that of a tunnel to this machine."""
    host, port, *_ = request.get_extra_info("sockname")
    return URL.build(scheme="http", host=host, port=port, path=GRAPHQL)
