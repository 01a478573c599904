"""Whatever bytes come from a server, a store, a file or the environment: a result or a documented error, at a bounded price."""

from __future__ import annotations

import asyncio
import contextlib
import json
import string
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exterview_auth import ConfigurationError, FileStore, LoginError, Token
from exterview_auth import _environment as environment
from exterview_auth._redaction import redacted
from exterview_auth._secret_file import MAX_SECRET_FILE, read_secret_file
from exterview_auth.logins._token_search import INSTANT_NAMES, LIFETIME_NAMES, REFRESH_NAMES, TOKEN_NAMES
from exterview_auth.stores._entry import key_of
from exterview_auth.stores._redis.entries import as_bytes
from tests.kit import costs, hypothesis_profiles
from tests.kit.parsers import (
    BY_PATH,
    HEAD,
    KEY,
    MARK,
    OAUTH,
    PARSERS,
    PASSWORD,
    Parser,
    answer,
    filled,
    read,
    read_oauth,
    text_of,
)

pytestmark = [pytest.mark.timeout(hypothesis_profiles.TIMEOUT), pytest.mark.no_cover]

# -- which errors come out -----------------------------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([
    MARK, "UNAUTHENTICATED", "invalid_grant", "\ud800", "\0", "1" * 50, 10**400, 1e308, "Bearer x", "2023-11-14T22:13:20+23:59",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00",
])  # fmt: skip
NAMES = st.text(max_size=4) | st.sampled_from(
    ["data", "errors", "error", "message", "extensions", "code", "path", "locations", "classification", "token_type", "token",
     "access_token", "expires_in", "refresh_token", "exp", "iat", "query", "operationName", *LIFETIME_NAMES, *INSTANT_NAMES]
)  # fmt: skip
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=15
).map(lambda content: json.dumps(content).encode())
WORDS = st.lists(
    st.sampled_from([*string.punctuation, "1", "99", "2023", "Nov", "Tue,", " ", "GMT", "-0000", "{", '"', "\n", "e9", "nan", "Infinity",
                     "exterview_auth/1", "exterview_auth/2", "exterview_auth/3", "query", "mutation", '"""', "\\", "\x00", "\u0665", "https:", "//", "[::1", "xn--"]),
    max_size=12,
).map(lambda words: "".join(words).encode())  # fmt: skip
VARIABLES = (
    environment.API_KEY, environment.EMAIL, environment.PASSWORD, environment.BEARER, environment.ENDPOINT,
    environment.ENVIRONMENT, f"{environment.API_KEY}_FILE", f"{environment.BEARER}_FILE",
)  # fmt: skip
ANY = st.binary(max_size=60) | JSON | WORDS | st.text(max_size=30).map(str.encode)


@hypothesis_profiles.examples(150)
@given(ANY)
@example(b"9" * 400)
@example(b"9" * 5000)
@example(b"-" + b"9" * 100_000)
@example(b"1e999999999")
@example(b"[" * 100_000)
@example(b"[" * 40_000)
@example(b'{"a":' * 50_000)
@example(b'"\\ud800"')
@example(b'"\\u0000"')
@example(b"NaN")
@example(b"-Infinity")
@example(b"\xef\xbb\xbf{}")
@example(b"\xff\xfe{\x00}\x00")
@example(b"\x00")
@example(b"gAAAAA")
@example(b"[::1")
@example(b"[]@")
@example(b"\xed\xa0\x80")
def test_any_bytes_are_read_or_refused_with_a_documented_error(raw: bytes) -> None:
    """No parser's own error comes out (of JSON, dates, numbers, encodings, recursion); a login's shows no secret."""
    for parser in PARSERS.values():
        for content in filled(parser, raw):
            result = read(parser, content)
            assert not isinstance(result, LoginError) or (MARK not in str(result) and len(str(result)) < 600)


@hypothesis_profiles.examples(100)
@given(st.dictionaries(st.sampled_from(VARIABLES), st.text(max_size=30)))
@example({environment.ENDPOINT: "https://[::1"})
@example({f"{environment.BEARER}_FILE": "\0"})
@example({f"{environment.API_KEY}_FILE": "\ud800"})
@example({f"{environment.API_KEY}_FILE": "x" * 5000})
def test_any_environment_is_taken_or_refused(variables: dict[str, str]) -> None:
    """Any mapping of strings; a path that leads nowhere too."""
    for right in ({}, {environment.API_KEY: "key"}, {environment.BEARER: "token"}):
        with contextlib.suppress(ConfigurationError):
            environment.arguments_from({**right, **variables}, {})


@hypothesis_profiles.examples(25)
@given(raw=ANY, encrypted=st.booleans(), headed=st.booleans())
@example(raw=b'{"token":"abc","expires_in":' + b"9" * 5000 + b"}", encrypted=False, headed=True)
@example(raw=b"[" * 3_000_000, encrypted=False, headed=True)
def test_any_file_is_a_token_or_none(
    tmp_path_factory: pytest.TempPathFactory, *, raw: bytes, encrypted: bool, headed: bool
) -> None:
    """Fault table: what a file holds is never the caller's problem."""
    store = FileStore(_directory(tmp_path_factory), encryption_key=KEY if encrypted else None)
    (Path(_directory(tmp_path_factory)) / f"{key_of('ada')}.token").write_bytes(HEAD + raw if headed else raw)

    async def load() -> Token | None:
        found = await store.load("ada")
        await store.aclose()
        return found

    found = asyncio.run(load())
    assert found is None or isinstance(found, Token)


def _directory(factory: pytest.TempPathFactory) -> Path:
    """One for all examples."""
    return factory.getbasetemp() / "any-files"


@hypothesis_profiles.examples(30)
@given(ANY)
@example(b"\xff")
def test_any_entry_of_a_decoding_client_is_a_token_or_none(raw: bytes) -> None:
    """Also where the client hands over as text what is none."""
    assert as_bytes(text_of(raw)) == raw


@hypothesis_profiles.examples(50)
@given(st.text(min_size=1, max_size=10))
@example("\ud800")
@example("\0\r\n")
def test_any_refresh_token_can_be_presented(text: str) -> None:
    """An answer that gave a token does not end the logins after it."""
    token = read_oauth(json.dumps({"access_token": "abc", "refresh_token": text}).encode())
    for step in OAUTH._steps(token):
        assert asyncio.run(OAUTH._prepared(step)).body.encode()


# -- what errors show ----------------------------------------------------------------------------------------------------

SECRETS = st.tuples(st.text(max_size=8), st.text(max_size=8)).map(MARK.join)
# The characters that end a user's part or a host: behind them stands no secret, but a host or a path.
IN_AN_ADDRESS = SECRETS.filter(lambda text: not set(text) & set("@/?#\\"))
TOKENS = st.sampled_from([*TOKEN_NAMES, *REFRESH_NAMES, "access_token", "refresh_token"])


@hypothesis_profiles.examples(150)
@given(SECRETS, TOKENS, st.sampled_from([200, 400, 401, 403, 404, 429, 503]))
@example(MARK + "\n", "token", 200)
@example("Bearer Bearer " + MARK, "access_token", 200)
@example(MARK + "x" * 70_000, "access_token", 200)
@example("\ud800" + MARK, "token", 200)
def test_no_error_shows_a_token_that_it_is_about(secret: str, name: str, status: int) -> None:
    """Wherever an answer, an entry or a program has it."""
    members = json.dumps({name: secret, "expires_in": secret[:3]}).encode()
    nested = json.dumps({"data": {"login": {name: secret}}, "token_type": "Bearer"}).encode()
    for raw in (members, nested):
        assert MARK not in shown(read(Parser(lambda raw: PASSWORD._read(answer(raw, status)), (LoginError,)), raw))
        assert MARK not in shown(read(Parser(lambda raw: BY_PATH._read(answer(raw, status)), (LoginError,)), raw))
        assert MARK not in shown(read(Parser(lambda raw: read_oauth(raw, status), (LoginError,)), raw))
        assert MARK not in shown(read(PARSERS["a payload"], raw[:-1]))
    assert MARK not in shown(read(PARSERS["a payload"], json.dumps({"token": secret, "expires_in": secret}).encode()))
    assert MARK not in shown(read(PARSERS["a token"], secret.encode("utf-8", "surrogatepass")))


@hypothesis_profiles.examples(100)
@given(
    st.dictionaries(
        st.sampled_from((environment.API_KEY, environment.EMAIL, environment.PASSWORD, environment.BEARER)), SECRETS
    ),
    IN_AN_ADDRESS,
)
@example({environment.API_KEY: MARK + "\n."}, "")
@example({environment.BEARER: "Bearer " + MARK + " x"}, "")
@example({}, f"user:{MARK}")
@example({}, f"{MARK}:")
def test_no_error_shows_a_variable_that_holds_a_secret(variables: dict[str, str], user: str) -> None:
    """Nor the part of an endpoint's URL that may be one."""
    for url in ("https://api.example", f"http://{user}@api.example", f"ftp://ada:{user}@[::1"):
        named = {**variables, environment.ENDPOINT: url}
        refused = Parser(lambda _, named=named: environment.arguments_from(named, {}), (ConfigurationError,))  # type: ignore[misc]  # bound at once
        result = read(refused, b"")
        assert isinstance(result, dict) or MARK not in shown(result)


def shown(result: object) -> str:
    """What anybody could print of an error and its causes."""
    texts = []
    error = result if isinstance(result, BaseException) else None
    while error is not None:
        texts += [str(error), repr(error), repr(error.args), repr(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(texts) + repr(result)


# -- what it costs -------------------------------------------------------------------------------------------------------

SHORT, COUNTED, LONG = 200, 2_000, 20_000
"""Bytes. To count is a hundred times as slow as to read, so that a long input is only timed."""
MOST_BYTES, MOST_CALLS = 300, 60
"""For each byte read."""


@pytest.mark.parametrize("shape", costs.SHAPES)
@pytest.mark.parametrize("name", PARSERS)
def test_memory_and_time_grow_with_what_is_read(name: str, shape: str) -> None:
    """Ten times the bytes cost ten times as much, not a hundred times."""
    _judge_growth(PARSERS[name], costs.SHAPES[shape])


@pytest.mark.parametrize("name", costs.UNCLOSED)
def test_a_string_that_is_not_closed_is_read_once(name: str) -> None:
    """A document may be a user's own."""
    _judge_growth(PARSERS[name]._replace(frames=(b"@",)), costs.UNCLOSED[name])


@pytest.mark.parametrize("secret", ["&", "\0"])
def test_a_message_costs_little_however_long_the_secrets_are(secret: str) -> None:
    """A refresh token may have as many bytes as an answer; a sentence that is quoted has not."""
    _judge_growth(Parser(lambda raw: redacted("wrong password", [secret * len(raw)]), ()), lambda n: b"x" * n)


def test_a_file_that_holds_no_credential_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A log or a device that was named by mistake is refused with a sentence, and costs a few megabytes."""
    file = tmp_path / "log"
    with file.open("wb") as log:
        log.truncate(50_000_000)

    def refused() -> None:
        with pytest.raises(ConfigurationError, match=r"is too long for the API key; check its path$"):
            read_secret_file(file, "the API key")

    assert costs.cost(refused).peak < 20_000_000


@pytest.mark.parametrize("content", ["x" * (MAX_SECRET_FILE - 1) + "\n", " x\r\n"])
def test_a_file_up_to_the_bound_is_read_whole(tmp_path: Path, content: str) -> None:
    """What is too long to be a token is told as such by the token itself."""
    file = tmp_path / "token"
    file.write_bytes(content.encode())
    assert read_secret_file(file, "the bearer token") == content.rstrip("\r\n")


def _judge_growth(parser: Parser, shape: Callable[[int], bytes]) -> None:
    for frame in parser.frames:
        short, counted, long = (frame.replace(b"@", shape(size)) for size in (SHORT, COUNTED, LONG))
        _judge_time(parser, short, long, 5 * LONG / SHORT)
        for raw in (short, counted):
            price = costs.cost(partial(read, parser, raw))
            assert price.peak <= MOST_BYTES * len(raw) + 200_000, frame
            assert price.calls <= MOST_CALLS * len(raw) + 3_000, frame


def _judge_time(parser: Parser, short: bytes, long: bytes, times: float) -> None:
    """What happens inside one call of C's (a pattern, a number) shows in seconds alone: *times* has room for a busy machine."""
    longest = times * max(2e-4, costs.seconds(partial(read, parser, short), runs=3))
    assert any(costs.seconds(partial(read, parser, long)) <= longest for _ in range(3)), long[:80]
