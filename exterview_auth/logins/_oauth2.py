"""Logging in at an OAuth 2.0 token endpoint. authlib authenticates the client, without I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, NoReturn, final
from urllib.parse import urlencode

from yarl import URL

from .._endpoint import checked_url
from .._options import header_options, optional_text, secret_option, text_option
from .._refusals import discreet, shown_when_made
from .._secret import Secret, refuse_pickling
from .._token import Token, is_foreign, issued_by
from ..errors import ConfigurationError, LoginError, LoginUnavailableError
from ._client_auth import ClientAuthentication, TokenRequest
from ._context import LoginContext
from ._form_fields import FormFields
from ._identity import address, distinct_name, issuer_name, naming_headers
from ._oauth2_response import read_token
from ._request import headers_of, post
from ._secret_source import SecretSource, optional_source

_WITH_BOTH = ("client_credentials", "refresh_token")
"""Grants that can do without a user; with one, the full grant for a refused refresh token is that of the password."""
_SHORTEST_FIELD = 8
"""Characters of a form field: a shorter one is a common word rather than a code or an assertion."""


class _Step(NamedTuple):
    """One request of a login."""

    grant_type: str
    parameters: Mapping[str, str | None]
    password: SecretSource | None = None


@final
class OAuth2Login:
    """
    A login by OAuth 2.0 (RFC 6749): client credentials, password, or a refresh token with rotation.

    With any *grant_type*, the login first tries the refresh token that came with the token being replaced, before the configured
    one. If the server refuses a refresh token, with any code, the same login tries the full grant if it has credentials for one.
    Any other *grant_type*, such as token exchange, JWT bearer or a vendor's own, is sent as it is, with *username* and *password*
    if they are given.

    The client authenticates by *token_endpoint_auth_method*: ``client_secret_basic`` (the default with a secret),
    ``client_secret_post``, ``private_key_jwt`` (RFC 7523; the default with *private_key*, a PEM), or ``none``. An assertion is
    signed with *algorithm* (by default RS256, ES256, ES384, ES512 or EdDSA, which depends on the key) for *audience* (by default
    the token endpoint), and *key_id* is its ``kid``. Without ``private_key_jwt``, *audience* is a form field.

    Further keyword arguments are form fields. *form* has form fields too, and their names may be options of this class. A list
    sends a field more than once (``resource=[...]``; RFC 8707). *headers* are sent too. The organization's API key is not sent to
    the token endpoint. *client_secret*, *private_key*, *password* and form fields may be sync or async callables, which are
    called at every login.

    The constructor raises `ConfigurationError`, or `InsecureTransportError` for a token endpoint without TLS. A login
    raises `CredentialsRejectedError` (``reason`` is ``"client"``, ``"user"``, ``"refresh_token"`` or ``None``),
    `LoginUnavailableError`, or `LoginError`. The OAuth ``error`` field outranks the status (section 5.2).
    """

    __module__ = "exterview_auth"

    __slots__ = (
        "_client", "_endpoint", "_form", "_grant_type", "_headers", "_password", "_refresh_token", "_scope", "_username",
    )  # fmt: skip

    @discreet
    def __init__(
        self,
        token_endpoint: str | URL,
        client_id: str,
        client_secret: str | Callable[[], str | Awaitable[str]] | None = None,
        *,
        grant_type: str = "client_credentials",
        scope: str | Iterable[str] | None = None,
        username: str | None = None,
        password: str | Callable[[], str | Awaitable[str]] | None = None,
        refresh_token: str | None = None,
        token_endpoint_auth_method: str | None = None,
        private_key: str | bytes | Callable[[], str | bytes | Awaitable[str | bytes]] | None = None,
        key_id: str | None = None,
        algorithm: str | None = None,
        audience: str | Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str | Sequence[str] | Callable[[], str | Awaitable[str]]] | None = None,
        **form_fields: str | Sequence[str] | Callable[[], str | Awaitable[str]],
    ) -> None:
        self._endpoint = checked_url(token_endpoint, "token_endpoint", example="https://login.example.com/oauth/token")
        signed = private_key is not None
        self._client = ClientAuthentication(
            client_id,
            client_secret,
            private_key,
            token_endpoint_auth_method,
            key_id=key_id,
            algorithm=algorithm,
            audience=_checked_audience(audience) if signed else None,
        )
        self._username = optional_text(username, "username")
        self._password = optional_source(password, "password")
        self._refresh_token = secret_option(refresh_token, "refresh_token")
        self._grant_type = self._checked_grant(grant_type)
        self._scope = _checked_scope(scope)
        self._headers = header_options(headers)
        if audience is not None and not signed:
            form_fields["audience"] = audience
        self._form = FormFields(form_fields, form)
        if self._client.method == "client_secret_basic" and "authorization" in map(str.lower, self._headers):
            raise ConfigurationError("headers sets Authorization, which client_secret_basic needs; remove it")

    @property
    def identity(self) -> str | None:
        """
        The client, its user and the token endpoint, with a digest of all that the token depends on.

        The token depends on these three and on grant, scope, form fields and headers. Without a user's name, the configured
        refresh token takes its place. Fields and headers that only prove an identity (``otp``, ``pin``, ``Authorization``) are
        left out: they do not say what the token is for, and a short code could be found from its digest. ``None`` if another
        field is a callable, which may return the proof of any user.
        """
        form = self._form.naming()
        if form is None:
            return None
        client = self._client.client_id
        user = None if self._grant_type == "client_credentials" else self._username
        first_token = self._refresh_token if user is None and self._grant_type != "client_credentials" else None
        fields = (form, naming_headers(self._headers))
        readable = client if user is None else f"{client}:{user}"
        return distinct_name(
            f"{readable} {address(self._endpoint)}",
            self.issuer_at(), client, user, first_token, self._grant_type, self._scope, *fields,
        )  # fmt: skip

    def issuer_at(self, endpoint: URL | None = None) -> str:  # noqa: ARG002 - the API's endpoint issues nothing here
        """Return the issuer's name, which is that of the token endpoint and the client for an API at any *endpoint*."""
        return issuer_name(self._endpoint, self._client.client_id)

    async def __call__(self, context: LoginContext) -> Token:
        """Return a token by the first grant that the server accepts."""
        steps = list(self._steps(context.previous))
        for number, step in enumerate(steps, 1):
            try:
                return await self._request(context, step)
            except LoginError as refusal:
                # Whatever the code: servers refuse a dead refresh token with invalid_request, invalid_client and others too. Only
                # a server in trouble is asked again for the same.
                if isinstance(refusal, LoginUnavailableError) or number == len(steps):
                    raise
        raise AssertionError("unreachable: a login has at least one step")  # pragma: no cover

    @shown_when_made
    def __repr__(self) -> str:
        secret = "" if self._client.method == "none" else ", '***'"
        return f"OAuth2Login({str(self._endpoint.origin())!r}, {self._client.client_id!r}{secret}, grant_type={self._grant_type!r})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        refuse_pickling(self)

    def _steps(self, previous: Token | None) -> Iterator[_Step]:
        """Yield the grants to try. *previous* comes with each login: another process may have rotated its refresh token."""
        # A refresh token is shown to nobody but its issuer (RFC 6749, section 10.4).
        if previous is not None and is_foreign(previous, self.issuer_at()):
            previous = None
        newest = None if previous is None else previous.refresh_token
        only_refresh = self._grant_type == "refresh_token"
        # The rotated token goes first: many servers accept each refresh token once, so the configured one is dead by then.
        if newest is not None:
            yield _Step("refresh_token", self._refreshing(newest))
        # No token is sent twice: a server may take that for theft and revoke all of them (RFC 9700, section 4.14.2).
        if only_refresh and self._refresh_token != newest:
            yield _Step("refresh_token", self._refreshing(self._refresh_token))
        if self._grant_type == "client_credentials":
            yield _Step("client_credentials", {"scope": self._scope})
        elif not only_refresh:
            yield _Step(self._grant_type, {"username": self._username, "scope": self._scope}, self._password)
        elif self._password is not None:
            yield _Step("password", {"username": self._username, "scope": self._scope}, self._password)

    def _refreshing(self, refresh_token: str | None) -> dict[str, str | None]:
        """
        Return a refresh's parameters, with the scope of the first grant.

        The scope may be left out (RFC 6749, section 6), but some servers then choose another one. A server that grants less
        than it was asked for may refuse it; the full grant follows, as after any refusal.
        """
        return {"refresh_token": refresh_token, "scope": self._scope}

    async def _request(self, context: LoginContext, step: _Step) -> Token:
        prepared = await self._prepared(step)
        needed = {"Content-Type": "application/x-www-form-urlencoded", **prepared.headers}
        response = await post(
            context.session,
            self._endpoint,
            headers=headers_of(self._headers, needed),
            body=prepared.body.encode(),
            secrets=(*prepared.secrets, *self._secrets(context)),
        )
        outcome = read_token(response, step.grant_type, step.parameters.get("refresh_token"))
        if isinstance(outcome, LoginError):
            raise outcome
        return issued_by(self.issuer_at(), outcome)

    async def _prepared(self, step: _Step) -> TokenRequest:
        fields = [("grant_type", step.grant_type), *((name, text) for name, text in step.parameters.items() if text)]
        if step.password is not None:
            fields.append(("password", await step.password.read()))
        return await self._client.prepare(str(self._endpoint), Secret(urlencode([*fields, *await self._form.read()])))

    def _problem(self) -> str | None:
        """Return why the client's secret is an old one, if its file cannot be read."""
        return None if self._client.secret is None else self._client.secret.problem

    def _goes_to(self, _endpoint: URL) -> URL:
        """Return where the request goes, for sentences."""
        return self._endpoint

    def _known_secrets(self) -> Iterator[str]:
        """Yield what no message of the API may show either; see `known_secrets`."""
        read = (source.last for source in (self._client.secret, self._password) if source is not None)
        yield from (secret for secret in (*read, self._refresh_token, *self._headers.values()) if secret)
        yield from (value for value in self._form.known() if len(value) >= _SHORTEST_FIELD)

    def _secrets(self, context: LoginContext) -> Iterator[str | None]:
        password = None if self._password is None else self._password.last
        yield from (password, self._refresh_token, context.api_key, *self._headers.values(), *self._form.known())
        if context.previous is not None:
            yield from (context.previous.value, context.previous.refresh_token)

    def _checked_grant(self, grant_type: object) -> str:
        grant = text_option(grant_type, "grant_type")
        if grant == "password" and (self._username is None or self._password is None):
            raise ConfigurationError("grant_type password needs username and password")
        if grant in _WITH_BOTH and (self._username is None) != (self._password is None):
            raise ConfigurationError("username and password belong together; give both or neither")
        if grant == "refresh_token" and self._refresh_token is None:
            raise ConfigurationError("grant_type refresh_token needs a first refresh_token")
        return grant


def _checked_scope(scope: str | Iterable[str] | None) -> str | None:
    """Return the scopes separated by spaces (RFC 6749, section 3.3)."""
    if scope is None or isinstance(scope, str):
        return optional_text(scope, "scope")
    try:
        words = [text_option(word, "scope") for word in scope]
    except TypeError:
        words = []
    if not words:
        raise ConfigurationError("scope must be text, or a list of texts that is not empty")
    return " ".join(words)


def _checked_audience(audience: object) -> list[str] | str | None:
    """Return the audience of an assertion, one or several (RFC 7519, section 4.1.3)."""
    if isinstance(audience, list | tuple) and audience:
        return [text_option(one, "audience") for one in audience]
    return optional_text(audience, "audience")
