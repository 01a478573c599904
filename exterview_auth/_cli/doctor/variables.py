"""Each variable that is set: where its value comes from, and whether anything uses it. Never the value."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from exterview_auth._environment import (
    API_KEY,
    BEARER,
    CLIENT_ID,
    EMAIL,
    ENDPOINT,
    ENVIRONMENT,
    IN_FILES,
    LOGIN_DOCUMENT,
    PASSWORD,
    SCOPE,
    STORE,
    STORE_KEY,
    TOKEN_FIELD,
    TOKEN_URL,
    VARIABLES,
    CredentialSource,
    in_quotes,
    is_quoted,
)
from exterview_auth._secret_file import read_secret_file, unwrapped
from exterview_auth.errors import ConfigurationError

from ..configuration import Configuration
from .report import Check, failed, ok, warned

KEY_DAYS = 90
"""Days after which Exterview's documentation asks for a new key."""

_DAY = 86_400
_ALIKE = 0.85
"""How alike two names are, from 0 to 1, if one is probably a misspelling of the other."""
_FILES = {f"{name}_FILE": name for name in IN_FILES}
_OF_A_USER = (EMAIL, PASSWORD, f"{PASSWORD}_FILE", LOGIN_DOCUMENT, f"{LOGIN_DOCUMENT}_FILE", TOKEN_FIELD)


def variable_checks(configuration: Configuration) -> Iterator[Check]:
    """Yield one check for each variable that is set, and for each that may be misspelt."""
    environ = configuration.environ
    quoted = in_quotes(environ)
    for name in VARIABLES:
        if name in environ:
            yield _examined(name, configuration, quoted)
    for name in sorted(environ):
        if name.startswith("EXTERVIEW_") and name not in VARIABLES:
            similar = get_close_matches(name, VARIABLES, 1, _ALIKE)
            if similar:
                yield warned(name, "is set, and nothing reads it", f"did you mean {similar[0]}?")


def _examined(name: str, configuration: Configuration, quoted: list[str]) -> Check:
    environ = configuration.environ
    if not unwrapped(environ[name]).strip():
        return warned(name, "is empty, as if it were not set", "set it, or remove it")
    if name in quoted:
        return warned(
            name,
            "stands in quotation marks, which docker's --env-file does not remove",
            "remove them if they are no part of it",
        )
    stronger = _instead_of(name, environ, configuration.source)
    if stronger:
        return warned(name, f"is set, and not used: {stronger} counts", "remove one of them")
    needed = _useless_without(name, environ, configuration.source)
    if needed:
        return warned(name, f"is set, and of no use without {needed}", f"set {needed}, or remove it")
    if name in _FILES:
        return _of_a_file(name, environ[name])
    return ok(name, "from standard input" if name in configuration.renamed else "from the environment")


def _of_a_file(name: str, path: str) -> Check:
    what = IN_FILES[_FILES[name]]
    try:
        quoted = is_quoted(read_secret_file(unwrapped(path).strip(), what))
    except ConfigurationError as error:
        problem, _, remedy = str(error).removeprefix(f"{what}'s ").partition("; ")
        return failed(name, problem, remedy)
    if quoted:
        return warned(name, f"{what} in its file stands in quotation marks", "remove them if they are no part of it")
    return ok(name, "from its file")


# -- the age of files ------------------------------------------------------------------------------------------------


def file_age_checks(configuration: Configuration) -> Iterator[Check]:
    """Yield how old each credential's file is that is in use."""
    environ = configuration.environ
    for name, what in IN_FILES.items():
        path = unwrapped(environ.get(f"{name}_FILE", "")).strip()
        if path and name != LOGIN_DOCUMENT and not _instead_of(f"{name}_FILE", environ, configuration.source):
            yield from _age(name, what, path)


def _age(name: str, what: str, path: str) -> Iterator[Check]:
    check = f"{name.removeprefix('EXTERVIEW_API_').removeprefix('EXTERVIEW_').replace('_', '-').lower()}-file"
    try:
        # Of the file that a link leads to: orchestrators rotate by another link.
        days = int((time.time() - Path(path).stat().st_mtime) // _DAY)
    except (OSError, ValueError):
        return  # said of the variable
    old = f"{'the key' if name == API_KEY else what} is {days} days old"
    if days < 0:
        yield warned(check, "its time lies in the future", "set this machine's clock, or touch the file")
    elif name != API_KEY:
        yield ok(check, old)
    elif days > KEY_DAYS:
        yield warned(check, old, f"rotate it: Exterview asks for that every {KEY_DAYS} days")
    else:
        yield ok(check, f"{old}, and is to be rotated every {KEY_DAYS}")


def _instead_of(name: str, environ: Mapping[str, str], source: CredentialSource | None) -> str | None:
    """Return what is used in the place of *name*, if anything is."""
    if environ.get(_FILES.get(name, ""), "").strip():
        return _FILES[name]
    if name == ENVIRONMENT and environ.get(ENDPOINT, "").strip():
        return ENDPOINT
    if source is None:
        return None
    is_client = source in {CredentialSource.CLIENT, CredentialSource.CLIENT_FILE}
    if (is_client and name in _OF_A_USER) or (source.logs_in and name in {BEARER, f"{BEARER}_FILE"}):
        return str(source)
    return None


def _useless_without(name: str, environ: Mapping[str, str], source: CredentialSource | None) -> str | None:
    """Return what *name* would need to be of any use."""
    if name in {STORE_KEY, f"{STORE_KEY}_FILE"} and not environ.get(STORE, "").strip():
        return STORE
    if name == SCOPE and not (environ.get(TOKEN_URL) or environ.get(CLIENT_ID)):
        return TOKEN_URL
    if source is None or source.logs_in:
        return None
    if name in {TOKEN_FIELD, LOGIN_DOCUMENT, f"{LOGIN_DOCUMENT}_FILE"}:
        return str(CredentialSource.PASSWORD)
    # A bearer token is shared by nobody: it does not say whose it is.
    return str(CredentialSource.PASSWORD) if name in {STORE, STORE_KEY, f"{STORE_KEY}_FILE"} else None
