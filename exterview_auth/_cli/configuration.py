"""What a command goes by: the environment, and what the command line says beside it."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from getpass import getpass

from exterview_auth._environment import ACCOUNT, API_KEY, PASSWORD, STORE, CredentialSource, source_of
from exterview_auth._secret import Secret, SecretBytes
from exterview_auth._secret_file import MAX_SECRET_FILE, decoded
from exterview_auth.errors import ConfigurationError

from .scrubber import passwords_in

_WHAT = "the password from standard input"
_NO_LOG = logging.NullHandler()
"""Keeps what libraries log, which Python would print where nobody has configured a log, away from the one sentence."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """
    The variables, with those that an option stands for.

    *renamed*: what sentences call such a variable, because the user has not set it.
    """

    environ: Mapping[str, str] = field(repr=False)
    renamed: Mapping[str, str]

    @property
    def source(self) -> CredentialSource | None:
        """The variables that the bearer token comes from."""
        return source_of(self.environ)

    def said(self, sentence: str) -> str:
        """Return *sentence* with what the user has written in the place of the variables."""
        for variable, name in self.renamed.items():
            sentence = re.sub(rf"\b{variable}\b", name, sentence)
        return sentence


def configured(*, password_stdin: bool = False, store: str | None = None, account: str | None = None) -> Configuration:
    """
    Return the environment with the password from standard input, and with the options ``--store`` and ``--account``.

    Raises `ConfigurationError` for what an option cannot be.
    """
    logging.getLogger().addHandler(_NO_LOG)
    environ, renamed = dict(os.environ), {}
    if not environ.get(API_KEY, "").strip() and environ.get(f"{API_KEY}_FILE", "").strip():
        renamed[API_KEY] = f"{API_KEY}_FILE"
    if store is not None:
        if passwords_in(store):
            # Everybody on this machine sees a command line.
            raise ConfigurationError(f"--store has a password in it, which ps shows; put the URL into {STORE} instead")
        if not store.strip():
            raise ConfigurationError(
                "--store is empty; give it a directory, or a URL that begins with redis:// or rediss://"
            )
        environ[STORE], renamed[STORE] = store, "--store"
    if account is not None:
        if not account.strip():
            raise ConfigurationError("--account is empty; give it the name that the workers have as account=")
        environ[ACCOUNT], renamed[ACCOUNT] = account, "--account"
    if password_stdin:
        environ[PASSWORD], renamed[PASSWORD] = password_from_stdin(), _WHAT
        source = source_of(environ)
        if source is not None and source is not CredentialSource.PASSWORD:
            raise ConfigurationError(f"--password-stdin is of no use with {source}; remove one of both")
    return Configuration(environ, renamed)


def password_from_stdin() -> Secret:
    """Return the password that stands on standard input, or is typed there unseen; one line end is not part of it. Blocks."""
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed; give --password-stdin a password there")
    if sys.stdin.isatty():
        try:
            typed = Secret(getpass("Password: "))
        except EOFError:
            typed = Secret("")
        problem = "has no password; type one"
    else:
        raw = SecretBytes(sys.stdin.buffer.read(MAX_SECRET_FILE + 1))
        typed, problem = decoded(raw, "the password")
    if not typed.strip():
        raise ConfigurationError(f"standard input {problem}")
    return typed
