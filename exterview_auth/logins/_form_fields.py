"""Further fields of a token request: extensions of OAuth, and whatever a vendor's own grant needs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .._secret import Secret, plain_kind
from ..errors import ConfigurationError
from ._identity import naming
from ._secret_source import SecretOption, SecretSource

FieldValue = SecretOption | Sequence[str]

_OF_THE_PROTOCOL = frozenset({
    "client_assertion", "client_assertion_type", "client_id", "client_secret", "grant_type", "password", "refresh_token", "scope",
    "username",
})  # fmt: skip


class FormFields:
    """Fields by name, each with one value or several; a value that is a callable is read at every login."""

    __slots__ = ("_sources",)

    def __init__(self, named: Mapping[str, FieldValue], form: Mapping[str, FieldValue] | None) -> None:
        if not isinstance(form, Mapping | None):
            raise ConfigurationError(f"form must be a mapping of names to values, not {plain_kind(form)}")
        form = form or {}
        for name in form:
            if name in _OF_THE_PROTOCOL:
                raise ConfigurationError(f"form must not hold {name}; use the login's own argument")
            if name in named:
                raise ConfigurationError(f"{name} is given twice, as an argument and in form")
        self._sources = {str(name): _sources(value, name) for name, value in {**named, **form}.items()}

    async def read(self) -> list[tuple[str, Secret]]:
        """Return names and values for one request. A form field may be a secret too: a one-time code, an assertion."""
        return [(name, await source.read()) for name, sources in self._sources.items() for source in sources]

    def known(self) -> Iterator[Secret]:
        """Yield the values as far as they are known."""
        return (source.last for sources in self._sources.values() for source in sources if source.last is not None)

    def naming(self) -> list[tuple[str, str | list[str]]] | None:
        """Return the fields that say what a token is for, or ``None`` if one of them is only known at a login."""
        named = naming(self._sources)
        if not all(source.fixed for sources in named.values() for source in sources):
            return None
        texts = {name: [str(source.last) for source in sources] for name, sources in named.items()}
        return sorted((name, values[0] if len(values) == 1 else values) for name, values in texts.items())


def _sources(value: object, name: str) -> list[SecretSource]:
    """Return the sources of a field's values: those of a list send the field more than once."""
    if not isinstance(value, list | tuple):
        return [_source(value, name)]
    if not value:
        raise ConfigurationError(f"{name} is an empty list; leave it out, or give it values")
    return [_source(item, name) for item in value]


def _source(value: object, name: str) -> SecretSource:
    if not isinstance(value, str) and not callable(value):
        raise ConfigurationError(
            f"{name} is not an option of OAuth2Login, and as a form field it must be text, not {plain_kind(value)}"
        )
    return SecretSource(value, name)
