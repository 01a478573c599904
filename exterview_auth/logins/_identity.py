"""Names for what a token depends on: the same in every process, never the same for two things, and without a secret."""

from __future__ import annotations

import hashlib
import json

from yarl import URL

from .._endpoint import origin_of

_DIGITS = 32
"""Hexadecimal digits of a digest: 128 bits, so that no two names are equal by chance or by choice."""


def issuer_name(endpoint: URL, *client: str) -> str:
    """Return the name of the issuer at *endpoint* for *client*, the only one to whom its refresh tokens may be shown."""
    where = address(endpoint)
    return distinct_name(" ".join((where, *client)), where, endpoint.raw_query_string, *client)


def distinct_name(readable: str, *parts: object) -> str:
    """Return *readable*, for people, and a digest over *parts*, texts or lists of texts, which tells two of them apart."""
    # As JSON, because texts that are only joined can be read in two ways: "a:b" and "c" as "a" and "b:c".
    encoded = json.dumps(parts, separators=(",", ":")).encode()
    return f"{readable} #{hashlib.sha256(encoded).hexdigest()[:_DIGITS]}"


def address(url: URL) -> str:
    """Return *url* in the one spelling that all of its spellings share, without its query, which may hold a secret."""
    scheme, host, port = origin_of(url)
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}{'' if url.is_default_port() else f':{port}'}{url.raw_path}"
