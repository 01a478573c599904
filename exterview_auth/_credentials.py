"""What a request to the API carries, for other HTTP clients."""

# Annotations are not texts here: `typing.get_type_hints` would look texts up in the module that ``__module__`` names.
from dataclasses import dataclass

from ._token import Token


@dataclass(frozen=True, slots=True, eq=False)
class Credentials:
    """
    A token and the headers of a request that is sent with it.

    Both come from one step, so that a refusal can name the token that was sent: ``auth.invalidate(credentials.token)``.

    - *token*: the token that *headers* has.
    - *headers*: ``Authorization`` and ``x-api-key``. Their values print as ``'***'``.
    """

    __module__ = "exterview_auth"

    token: Token
    headers: dict[str, str]
