"""A secret goes out as it is, and never prints itself."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hmac
import json
import logging
import pickle
import pprint
import reprlib
import traceback
import urllib.parse
from collections.abc import Callable
from typing import Any

import pytest
import rich.pretty
import rich.traceback
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, istr
from rich.console import Console
from structlog.tracebacks import ExceptionDictTransformer
from yarl import URL

from exterview_auth import LoginContext, Token
from exterview_auth._secret import OwnedBytes, OwnedHeader, Secret, SecretBytes, concealed, is_header_safe, plain_kind

TEXT = "s3cr3t-value"
LONG = ".".join(f"s3cr3t-part-{number}" for number in range(20))
"""As long as a JWT: tools that show values cut it first."""


@dataclasses.dataclass
class Holder:
    """A container as an application would write it."""

    secret: str


def in_containers(secret: Secret) -> list[object]:
    """The secret in everything that prints its content with ``repr``."""
    return [
        secret,
        [secret],
        (secret,),
        {secret},
        {"key": secret},
        {secret: 1},
        Holder(secret),
        CIMultiDict({istr("x-api-key"): secret}),
        ValueError(secret).args,
    ]


def token(text: str) -> Token:
    """A token whose value and refresh token are both *text*."""
    return Token(text, expires_in=60, refresh_token=text)


def login_context(text: str) -> LoginContext:
    """A login's surroundings, full of secrets."""

    def no_session() -> Any:
        raise AssertionError("no session is needed")

    endpoint = URL(f"http://localhost/?sig={text}#{text}")
    return LoginContext(session=no_session, endpoint=endpoint, api_key=text, previous=token(text))


@pytest.mark.parametrize("container", in_containers(Secret(TEXT)), ids=lambda c: type(c).__name__)
def test_no_container_prints_a_secret(container: object) -> None:
    """The repr of a secret, alone and in any container, shows none of its text."""
    assert TEXT not in repr(container)
    assert "'***'" in repr(container)
    assert TEXT not in f"{container!r}"


def test_a_secret_stays_the_text_that_goes_out() -> None:
    """As text, in JSON, in bytes, in comparisons and in copies a secret is what it was made from."""
    secret = Secret(TEXT)
    assert secret == str(secret) == TEXT
    assert f"Bearer {secret}" == f"Bearer {TEXT}"
    assert json.dumps(secret) == f'"{TEXT}"'
    assert secret.encode() == TEXT.encode()
    assert hash(secret) == hash(TEXT)
    assert copy.copy(secret) is copy.deepcopy([secret])[0] is secret


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("make", [Secret, token, login_context], ids=["Secret", "Token", "LoginContext"])
def test_secrets_are_not_pickled(make: Callable[[str], object], protocol: int) -> None:
    """Every holder of a secret refuses every pickle protocol, in a sentence that does not hold it."""
    holder = make(TEXT)
    with pytest.raises(TypeError, match=f"^{type(holder).__name__} holds a secret and cannot be pickled") as caught:
        pickle.dumps([holder], protocol)
    assert TEXT not in str(caught.value)


@pytest.mark.parametrize("make", [token, login_context], ids=["Token", "LoginContext"])
def test_holders_never_print_their_secrets(make: Callable[[str], object]) -> None:
    """``repr``, ``str``, formatting and ``%r`` of what holds a secret show none of its text."""
    holder = make(TEXT)
    for shown in (repr(holder), str(holder), f"{holder}", "%r" % (holder,), "%s" % (holder,), repr([holder])):  # noqa: UP031 - the forms that loggers use
        assert TEXT not in shown
        assert "***" in shown


def test_logs_and_exceptions_show_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    """``%r`` of a secret in a log record, and the repr of an exception about one, print as stars."""
    secret = Secret(TEXT)
    logging.getLogger("app").warning("key %r in %r for %s", secret, {"a": secret}, Token(TEXT))
    assert TEXT not in caplog.text
    assert caplog.text.count("***") == 3
    assert TEXT not in repr(ValueError(secret))


@pytest.mark.no_cover
@given(st.text(max_size=20))
@example("")
@example("!~")
@example("a\nb")
@example("a\x7f")
@example("\ud800")
def test_header_safe_text_is_visible_ascii_in_one_word(text: str) -> None:
    """Only text that is not empty, and of nothing but ``!`` to ``~``, can be sent in a header."""
    assert is_header_safe(text) == (text != "" and all("!" <= letter <= "~" for letter in text))


def test_a_login_opens_its_session_when_it_asks_for_it() -> None:
    """A login that needs no network opens no session, and one that does gets the same each time."""
    made: list[Any] = []

    def make() -> Any:
        made.append(object())
        return made[-1]

    context = LoginContext(session=make, endpoint=URL("http://localhost/"), api_key="key")
    assert context.opened_session is None
    assert made == []
    assert context.session is context.session
    assert made == [context.opened_session]


# -- cut, copied and changed ---------------------------------------------------------------------------------------------


WITHOUT_ARGUMENTS = (
    "capitalize", "expandtabs", "lower", "lstrip", "rstrip", "split", "splitlines", "strip", "swapcase", "title", "upper",
)  # fmt: skip


def pieces_of(secret: Any) -> dict[str, object]:
    """Everything that methods and operators make of *secret*, text or bytes, by what makes it."""
    dot = secret[12:13]
    pieces = {name: getattr(secret, name)() for name in WITHOUT_ARGUMENTS}
    cut = {name: getattr(secret, name)(dot) for name in ("partition", "rpartition", "split", "rsplit", "removeprefix")}
    padded = {name: getattr(secret, name)(300) for name in ("center", "ljust", "rjust", "zfill")}
    slices = {"slice": secret[:80], "step": secret[::2], "deep": secret[:80][:40], "copy": copy.copy(secret)}
    made = {"+": secret + dot, "radd": type(secret).__mro__[1](dot) + secret, "*": secret * 2, "rmul": 2 * secret}
    other = {
        "replace": secret.replace(dot, dot),
        "join": secret.join([dot, dot]),
        "removesuffix": secret.removesuffix(dot),
    }
    return pieces | cut | padded | slices | made | other


SHOWN_FROM = {
    "text": pieces_of(Secret(LONG))
    | {
        "index": Secret(LONG)[0],
        "iter": list(Secret(LONG)),
        "casefold": Secret(LONG).casefold(),
        "encode": Secret(LONG).encode(),
        "encode, cut": Secret(LONG).encode()[:80],
        "translate": Secret(LONG).translate({}),
        "format": Secret(LONG).format(),
        "format_map": Secret(LONG).format_map({}),
        "%": Secret(LONG) % (),
        "largest": max(Secret(LONG)),
    },
    "bytes": pieces_of(SecretBytes(LONG.encode()))
    | {
        "decode": SecretBytes(LONG.encode()).decode(),
        "decode, cut": SecretBytes(LONG.encode()).decode()[:80],
        "hex": SecretBytes(LONG.encode()).hex(),
        "translate": SecretBytes(LONG.encode()).translate(None),
    },
}


@pytest.mark.parametrize(("kind", "made_by"), [(kind, name) for kind, made in SHOWN_FROM.items() for name in made])
def test_what_is_cut_out_of_a_secret_is_a_secret(kind: str, made_by: str) -> None:
    """Rule "nor does any part of one that a tool has cut out of it": no method or operator leads to readable text."""
    shown = repr(SHOWN_FROM[kind][made_by])
    assert set(shown) <= set("b'*[](), "), shown


def test_secret_bytes_are_sent_as_they_are_and_never_print_themselves() -> None:
    """A request's body is one: bytes for the network, stars for ``str``, ``repr``, formatting and pickling."""
    body = Secret(TEXT).encode()
    assert body == TEXT.encode()
    assert b"".join([b"<", body, b">"]) == f"<{TEXT}>".encode()
    assert base64.b64decode(base64.b64encode(body)) == bytes(memoryview(body)) == TEXT.encode()
    assert hmac.digest(body, b"", "sha256") == hmac.digest(TEXT.encode(), b"", "sha256")
    shown: object = body
    assert {str(shown), repr(shown), f"{shown}", f"{shown!r}", "%s" % shown} == {"b'***'"}  # noqa: UP031 - as loggers do
    assert copy.copy(body) is copy.deepcopy([body])[0] is body
    with pytest.raises(TypeError, match=r"^SecretBytes holds a secret and cannot be pickled"):
        pickle.dumps(body)


def test_a_piece_of_a_secret_is_sent_as_it_is() -> None:
    """URLs, JSON and headers take a piece like any text."""
    piece = Secret(TEXT)[:6]
    assert json.dumps([piece], indent=1) == json.dumps([TEXT[:6]], indent=1)
    assert urllib.parse.urlencode({"a": piece}) == f"a={TEXT[:6]}"
    assert "".join(piece) == f"{piece}" == f"{TEXT:.6}" == str(URL(f"http://host/{piece}").name)


@pytest.mark.parametrize("secret", [Secret(TEXT), SecretBytes(TEXT.encode())], ids=["text", "bytes"])
def test_a_secret_is_added_to_nothing_that_its_plain_text_is_not_added_to(secret: Any) -> None:
    """A mistake stays a mistake."""
    with pytest.raises(TypeError):
        1 + secret
    with pytest.raises(TypeError):
        secret + 1


def test_concealed_data_is_a_copy_whose_texts_are_secrets() -> None:
    """At any depth, in keys too; what is no text stays, also what holds itself, and what was given is not changed."""
    nested: Any = TEXT
    for _ in range(100_000):
        nested = [nested]
    own = object()
    given: dict[str, Any] = {TEXT: [TEXT, (TEXT, None, 1.5)], "own": own, "nested": nested}
    given["again"] = [given, given]
    copied = concealed(given)
    assert given[TEXT] == [TEXT, (TEXT, None, 1.5)]
    assert type(given[TEXT][0]) is str
    assert copied[TEXT] == [TEXT, [TEXT, None, 1.5]]
    assert copied["own"] is own
    assert copied["again"][0] is copied["again"][1] is copied
    del copied["nested"]
    assert repr(copied) == "{'***': ['***', ['***', None, 1.5]], '***': " + repr(own) + ", '***': [{...}, {...}]}"
    secret = Secret(TEXT)
    assert concealed(secret) is secret


@pytest.mark.parametrize(
    ("value", "kind"), [(Secret(), "str"), (SecretBytes(), "bytes"), ("", "str"), (5, "int"), (None, "NoneType")]
)
def test_an_error_names_a_type_as_its_user_knows_it(value: object, kind: str) -> None:
    """An argument that was concealed meanwhile is still text or bytes."""
    assert plain_kind(value) == kind


def raised_beside(secret: object) -> BaseException:
    """An error from a frame with *secret* in a local, in containers and in what holds it."""

    def use(text: object) -> None:
        nested, held = {"headers": [text, (text,)]}, Holder(text)  # type: ignore[arg-type] # bytes too
        raise ValueError(f"refused: {len(nested)} {type(held)}")

    try:
        use(secret)
    except ValueError as error:
        return error
    raise AssertionError("unreachable")


def by_rich(error: BaseException) -> str:
    """What rich prints for an error, with locals."""
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    with console.file:
        lines = rich.traceback.Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_string=80
        )
        console.print(lines)
    return console.export_text()


TOOLS: dict[str, Callable[[BaseException], str]] = {
    "rich's traceback": by_rich,
    "structlog's dict_tracebacks": lambda error: json.dumps(
        ExceptionDictTransformer(show_locals=True, use_rich=False)((type(error), error, error.__traceback__))
    ),
    "structlog's dict_tracebacks by rich": lambda error: json.dumps(
        ExceptionDictTransformer(show_locals=True, use_rich=True)((type(error), error, error.__traceback__))
    ),
    "traceback": lambda error: "".join(
        traceback.TracebackException.from_exception(error, capture_locals=True).format()
    ),
}


@pytest.mark.parametrize("secret", [Secret(LONG), SecretBytes(LONG.encode())], ids=["text", "bytes"])
@pytest.mark.parametrize("tool", TOOLS)
def test_tools_that_show_the_locals_of_an_error_show_no_part_of_a_secret(tool: str, secret: object) -> None:
    """They shorten a value first, and print the rest."""
    shown = TOOLS[tool](raised_beside(secret))
    assert "***" in shown
    assert "s3cr3t" not in shown.replace("s3cr3t-value", "")


@pytest.mark.parametrize("secret", [Secret(LONG), SecretBytes(LONG.encode())], ids=["text", "bytes"])
def test_tools_that_shorten_what_they_print_show_no_part_of_a_secret(secret: object) -> None:
    """`rich.pretty`, `reprlib` and `pprint`, alone and in containers."""
    held = {"headers": [secret], "key": (secret, Holder(secret))}  # type: ignore[arg-type] # bytes too
    for shown in (
        rich.pretty.pretty_repr(secret, max_string=80),
        rich.pretty.pretty_repr(held, max_string=80),
        reprlib.repr(secret),
        reprlib.repr(held),
        pprint.pformat(held, width=20),
        pprint.pformat(secret, width=20),
    ):
        assert "***" in shown
        assert "s3cr3t" not in shown


def test_an_owners_header_is_one_as_bytes_too() -> None:
    """And again as text: httpx keeps headers as bytes. Neither shows what it is."""
    raw = OwnedHeader("Bearer abc").encode()
    assert (type(raw), raw, str(raw), repr(raw)) == (OwnedBytes, b"Bearer abc", "Bearer abc", "b'***'")
    assert (type(raw.decode()), raw.decode(), repr(raw.decode())) == (OwnedHeader, "Bearer abc", "'***'")
    assert raw.strip() is raw
    assert type(raw[:3]) is SecretBytes
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(raw)


@pytest.mark.parametrize("kind", [Secret, OwnedHeader])
def test_a_method_that_changes_nothing_returns_the_same_secret(kind: type[Secret]) -> None:
    """What a subclass knows of its text stays with it, alone and among pieces."""
    secret = kind("Bearer abc")
    for same in (
        secret.strip(),
        secret[:],
        secret + "",
        "" + secret,
        secret.replace("x", "y"),
        secret.removeprefix("x"),
    ):
        assert same is secret
    assert [piece is secret for piece in secret.partition("x")] == [True, False, False]
    assert secret.split(",")[0] is secret
    for piece in (*secret.split(), secret.lower(), secret.ljust(20), "x" + secret):
        assert type(piece) is Secret
