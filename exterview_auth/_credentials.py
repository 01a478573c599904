"""What a request to the API carries, for other HTTP clients."""

from __future__ import annotations

from dataclasses import dataclass

from ._token import Token


@dataclass(frozen=True, slots=True, eq=False)
class Credentials:
    """
    A token and the headers of a request that is sent with it.

    Both come from one step, so that a refusal can name the token that was sent: ``auth.invalidate(credentials.token)``.
    """

    token: Token
    """The token that `headers` has."""
    headers: dict[str, str]
    """``Authorization`` and ``x-api-key``; their values print as ``'***'``."""
