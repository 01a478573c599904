"""What removes this run's secrets from whatever is printed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import parse_qsl, unquote, urlsplit

from exterview_auth._environment import STORE
from exterview_auth._redaction import masked_line, redacted
from exterview_auth._secret import Secret
from exterview_auth._secret_file import read_secret_file, unwrapped
from exterview_auth.errors import ConfigurationError

_SECRET_VARIABLE = re.compile(r"EXTERVIEW_(?:\w+_)?(?:KEY|PASSWORD|TOKEN|SECRET)(_FILE)?")
_SHORTEST_PART = 16
"""Characters of one of several keys in a variable; a shorter part is a word of somebody's password."""
_QUOTE = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
"""What a sentence of the library has from elsewhere, in quotation marks; an apostrophe in a word begins none."""
_WORD = re.compile(r"[A-Za-z_-]{1,24}|\d{1,3}")
"""What a sentence of the library may have of its own: a word, the name of a variable or header, a status."""
_PROXY_VARIABLE = re.compile(r"\w+_proxy", re.IGNORECASE)


class Scrubber:
    """Removes every secret of this run from text that others wrote: a server may echo what it was sent."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._secrets: set[Secret] = set()
        for name, text in environ.items():
            if name == STORE or _PROXY_VARIABLE.fullmatch(name):
                for secret in passwords_in(text):
                    self.hide(secret)
            variable = _SECRET_VARIABLE.fullmatch(name)
            if variable is None or not text.strip():
                continue
            if not variable[1]:
                self.hide(unwrapped(text))
                self._hide_each(text)
                continue
            # The command itself reports a file that cannot be read.
            with suppress(ConfigurationError):
                content = read_secret_file(unwrapped(text).strip(), name)
                self.hide(content)
                self._hide_each(content)

    def hide(self, secret: str | None) -> None:
        """Replace *secret* too from now on."""
        if secret and secret.strip():
            self._secrets.update((Secret(secret), Secret(secret.strip())))

    def _hide_each(self, text: str) -> None:
        """Hide each of several keys, which commas or white space separate."""
        parts = text.replace(",", " ").split()
        for part in parts if len(parts) > 1 else ():
            if len(part) >= _SHORTEST_PART:
                self.hide(part)

    def clean(self, sentence: str) -> str:
        """
        Return a *sentence* of the library on one printable line, with ``***`` in the place of secrets.

        A secret that may be one of the sentence's own words is masked only in what it quotes: a gap in a known sentence would show
        that secret.
        """
        quotes_masked = _QUOTE.sub(lambda quote: masked_line(quote[0], self._secrets), sentence)
        return masked_line(quotes_masked, [secret for secret in self._secrets if not _WORD.fullmatch(secret)])

    def quote(self, text: str) -> str:
        """Return *text* from a server likewise, and shortened."""
        return redacted(text, self._secrets)


def passwords_in(url: str) -> list[str]:
    """Return the passwords in a *url*, as it has them and decoded; none if it is no URL, such as a directory."""
    try:
        parts = urlsplit(url.strip())
        query = parse_qsl(parts.query)
    except ValueError:
        return []
    if not parts.netloc:
        return []
    # redis-py reads a password from the query, too.
    found = [parts.password or "", *(value for name, value in query if "password" in name.lower())]
    return [text for secret in found if secret for text in (secret, unquote(secret))]
