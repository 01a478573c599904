"""Logging in with e-mail and password, by a GraphQL mutation."""

from __future__ import annotations

import copy
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, ClassVar, NoReturn, final

from yarl import URL

from .._endpoint import API_KEY_HEADER
from .._options import checked_api_key, header_options, optional_text, path_option, text_option
from .._refusals import discreet, shown_when_made
from .._secret import Secret, concealed, refuse_pickling
from .._token import Token, issued_by
from ..errors import ConfigurationError, LoginError
from ._context import LoginContext
from ._document import own_fields
from ._graphql_answer import answered_by_login, graphql_refusal, said_by_login, status_refusal
from ._identity import distinct_name, issuer_name, naming_headers
from ._request import LoginResponse, headers_of, post
from ._secret_source import SecretSource
from ._token_search import Match, find_path, find_token, lifetime_near, refresh_token_near, seconds_left

DOCUMENT = "mutation Login($email: String!, $password: String!) { login(email: $email, password: $password) { token expiresIn } }"
"""The default mutation."""

Variables = Mapping[str, Any] | Callable[[str, str], Mapping[str, Any]]

_USUAL_PLACES = "a token in its data, under names like token or accessToken"
_SHORTEST_SECRET = 4
"""Characters. Shorter texts among the variables are not masked in messages; the password always is."""


@final
class PasswordLogin:
    """
    A login with e-mail and password: one GraphQL mutation to the endpoint, with the organization's API key.

    *document* is the mutation. *variables* are by default ``{"email": ..., "password": ...}``, else a mapping, or a callable of
    e-mail and password that returns one. The login finds the token in the answer's ``data`` under the usual names (``token``,
    ``accessToken``, ``jwt``, ...), and its lifetime and refresh token beside it or around it. *token_field*, *expires_field* and
    *refresh_field* name the places instead: a name, or a dotted path such as ``"signIn.session.jwt"``. With *token_header*, the
    login reads the token from that header, if the answer does not refuse the login.

    *headers* are sent too, such as those that a product's gateway needs. *password* may be a sync or async callable, which is
    called at every login. Its errors pass through.

    The constructor raises `ConfigurationError`. A login raises `CredentialsRejectedError` (``reason`` is ``"user"``,
    ``"api_key"`` or ``None``), `LoginUnavailableError`, `InsecureTransportError`, or `LoginError` if the document does not fit
    the API or the answer has no token.
    """

    __module__ = "exterview_auth"

    __slots__ = (
        "_document", "_email", "_expires_field", "_headers", "_own_fields", "_password", "_refresh_field", "_token_field",
        "_token_header", "_variables",
    )  # fmt: skip

    @discreet
    def __init__(
        self,
        email: str,
        password: str | Callable[[], str | Awaitable[str]],
        *,
        document: str = DOCUMENT,
        variables: Mapping[str, Any] | Callable[[str, str], Mapping[str, Any]] | None = None,
        token_field: str | None = None,
        token_header: str | None = None,
        expires_field: str | None = None,
        refresh_field: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        variables = concealed(variables)
        self._email = text_option(email, "email")
        self._password = SecretSource(password, "password")
        self._document = text_option(document, "document")
        self._own_fields = own_fields(self._document)
        self._variables = _checked_variables(variables)
        self._token_field = path_option(token_field, "token_field")
        self._token_header = optional_text(token_header, "token_header")
        if token_field is not None and token_header is not None:
            raise ConfigurationError("token_field and token_header both say where the token is; give only one of them")
        self._expires_field = path_option(expires_field, "expires_field")
        self._refresh_field = path_option(refresh_field, "refresh_field")
        self._headers = header_options(headers)

    presents_refresh_tokens: ClassVar[bool] = False
    """Not so: every login sends the password, and stores keep no refresh token that nobody presents."""

    @property
    def identity(self) -> str:
        """The e-mail, with a digest of the *headers* that say what the token is for, if there are any."""
        headers = naming_headers(self._headers)
        return distinct_name(self._email, headers) if headers else self._email

    def issuer_at(self, endpoint: URL) -> str:
        """Return the name of the endpoint, which issues the tokens."""
        return issuer_name(endpoint)

    @discreet
    async def __call__(self, context: LoginContext) -> Token:
        """Return a token for the account, by exactly one request."""
        key = Secret(checked_api_key(context.api_key))
        headers = headers_of(self._headers, {"Content-Type": "application/json", API_KEY_HEADER: key})
        password = await self._password.read()
        body, texts = self._content(password)
        previous = context.previous
        # Servers repeat what they receive.
        secrets = (
            password,
            context.api_key,
            *self._headers.values(),
            *(() if previous is None else (previous.value, previous.refresh_token)),
            *texts,
        )
        outcome = self._read(await post(context.session, context.endpoint, headers=headers, body=body, secrets=secrets))
        if isinstance(outcome, LoginError):
            raise outcome
        return issued_by(self.issuer_at(context.endpoint), outcome)

    @shown_when_made
    def __repr__(self) -> str:
        return f"PasswordLogin({self._email!r}, '***')"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)

    def _problem(self) -> str | None:
        """Return why the password is an old one, if its file cannot be read."""
        return self._password.problem

    def _goes_to(self, endpoint: URL) -> URL:
        """Return where the request goes, for sentences."""
        return endpoint

    def _known_secrets(self) -> Iterator[str]:
        """Yield what no message of the API may show either; see `known_secrets`."""
        if self._password.last is not None:
            yield self._password.last
        yield from (value for value in self._headers.values() if value)
        if isinstance(self._variables, Mapping):
            yield from self._secret_texts(self._variables)

    def _secret_texts(self, variables: Mapping[str, Any]) -> Iterator[str]:
        """Yield the texts among *variables*. The e-mail may be shown: it says which account a message is about."""
        return (text for text in _texts(variables) if len(text) >= _SHORTEST_SECRET and text != self._email)

    def _content(self, password: Secret) -> tuple[bytes, list[str]]:
        """Return the request's body, and the secret texts in it."""
        variables = concealed(self._filled_in(password))
        return _json({"query": self._document, "variables": variables}), list(self._secret_texts(variables))

    def _filled_in(self, password: Secret) -> Mapping[str, Any]:
        if self._variables is None:
            return {"email": self._email, "password": password}
        if isinstance(self._variables, Mapping):
            return self._variables
        variables = self._variables(self._email, password)
        if not isinstance(variables, Mapping):
            raise ConfigurationError(
                f"the callable for variables returned {type(variables).__name__}; let it return a mapping"
            )
        return dict(variables)

    def _read(self, response: LoginResponse) -> Token | LoginError:
        payload = response.payload()
        members = payload or {}
        # A server in trouble is asked again, whatever its body says. With status 500, the login itself may have answered: some
        # servers give it to every error that leaves no data.
        if response.retryable and not (response.status == 500 and answered_by_login(members, self._own_fields)):  # noqa: PLR2004
            return status_refusal(response, payload)
        if response.ok and payload is None:
            return response.unreadable()
        found = self._find(response, members) if response.ok else None
        if found is not None:
            # Even beside errors: another field of the mutation may have failed.
            return response.token(
                found.value,
                expires_in=self._lifetime(response, members, found),
                refresh_token=self._refresh_token(members, found),
            )
        refusal = graphql_refusal(response, members, self._own_fields)
        if refusal is not None:
            return refusal
        if not response.ok:
            return status_refusal(response, payload)
        looked_at = None if self._token_header is not None else members
        return response.without_token(
            looked_at, self._where, said_by_login(members) or response.words(members), self._advice
        )

    @property
    def _where(self) -> str:
        if self._token_header is not None:
            return f"a token in the header {self._token_header}"
        return f"a token at {'.'.join(self._token_field)}" if self._token_field else _USUAL_PLACES

    @property
    def _advice(self) -> str:
        if self._token_header is not None:
            return "check the name in token_header="
        return "set token_field= (with from_env EXTERVIEW_TOKEN_FIELD) to the name or dotted path of the token"

    def _find(self, response: LoginResponse, payload: dict[str, Any]) -> Match | None:
        if self._token_header is not None:
            value = response.headers.get(self._token_header, "").strip()
            # A server may open a session for everybody, also for those whose login it refuses.
            refused = bool(value) and graphql_refusal(response, payload, self._own_fields) is not None
            return Match(Secret(value), (payload.get("data"),)) if value and not refused else None
        if not self._token_field:
            return find_token(payload.get("data"))
        found = find_path(payload, self._token_field)
        return found if found is not None and isinstance(found.value, str) and found.value else None

    def _lifetime(self, response: LoginResponse, payload: dict[str, Any], found: Match) -> float | None:
        if not self._expires_field:
            return lifetime_near(found.chain, response.served_at)
        lifetime = find_path(payload, self._expires_field)
        return None if lifetime is None else seconds_left(lifetime.value, self._expires_field[-1], response.served_at)

    def _refresh_token(self, payload: dict[str, Any], found: Match) -> str | None:
        if not self._refresh_field:
            return refresh_token_near(found.chain)
        refresh = find_path(payload, self._refresh_field)
        return refresh.value if refresh is not None and isinstance(refresh.value, str) else None


def _checked_variables(variables: Variables | None) -> Variables | None:
    if variables is None or (callable(variables) and not isinstance(variables, Mapping)):
        return variables
    if not isinstance(variables, Mapping):
        raise ConfigurationError(
            f"variables must be a mapping, or a callable that returns one, not {type(variables).__name__}"
        )
    # Encoded now, so that a mistake fails early; and copied, so that later changes by the caller have no effect.
    _json(variables)
    return copy.deepcopy(variables)


def _json(content: Mapping[str, Any]) -> bytes:
    try:
        return Secret(json.dumps(content, allow_nan=False)).encode()
    except (TypeError, ValueError, RecursionError):
        pass
    # Raised outside the except block: the encoder's own error may quote what it could not encode.
    raise ConfigurationError("variables cannot be written as JSON; use only text, numbers, lists and mappings in it")


def _texts(content: Any) -> Iterator[str]:
    """Yield every text among *content*'s values."""
    left = [content]
    while left:
        item = left.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            left.extend(item.values())
        elif isinstance(item, list | tuple):
            left.extend(item)
