"""A server's text in a message: no secret in any form, one printable line, and short."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exterview_auth._redaction import MAX_QUOTE, MAX_SENTENCE, mask_data, masked_line, redacted

PASSWORD = "hunter2 & <wonder>"


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        f"wrong: {PASSWORD}!",
        "hunter2+%26+%3Cwonder%3E",
        "hunter2%20%26%20%3cwonder%3e",
        "hunter2 &amp; &lt;wonder&gt;",
        "HUNTER2 & <WONDER>",
        "hunter2\t&\n <wonder>",
        "x" * 190 + PASSWORD,
    ],
)
def test_a_quoted_sentence_masks_every_form_of_a_secret(text: str) -> None:
    """Servers repeat what they were sent, encoded and cut; no part of it is left."""
    quote = redacted(text, [PASSWORD])
    assert "unter" not in quote.lower().replace("hunters", "")
    assert "wonder" not in quote.lower()
    assert len(quote) <= MAX_QUOTE


@pytest.mark.parametrize(
    ("secret", "form"),
    [
        ("ab/cd+ef==", "ab\\/cd+ef=="),
        ("ab/cd+ef==", "ab/cd%2Bef%3D%3D"),
        ("p@ss!w(o)rd*1", "p%40ss!w(o)rd*1"),
        ("p@ss w&rd/1", "p@ss%20w&rd/1"),
        ("p<ss&w>rd", "p\\u003css\\u0026w\\u003erd"),
        ("p's\"word", "p&#39;s&#34;word"),
        ("p's&word", "p's&amp;word"),
    ],
)
def test_a_secret_is_masked_as_other_languages_encode_it(secret: str, form: str) -> None:
    """PHP's JSON, Python's and JavaScript's URLs, Go's JSON, Jinja's HTML."""
    assert redacted(f"rejected: {form}.", [secret]) == "rejected: ***."


@pytest.mark.parametrize(
    ("secret", "form"),
    [
        ("p@ss*w~rd", "p%40ss*w%7Erd"),
        ("p&ssword", "p&amp;amp;ssword"),
        ('p"ss\\word', json.dumps(json.dumps('p"ss\\word'))),
        ("p@ss/word", "p%2540ss%252Fword"),
        ("straße-geheim", "STRASSE-GEHEIM"),
        ("caf\u00e9-geheim", "cafe\u0301-geheim"),
        ("geheimnis", "geheim\u200bnis"),
    ],
)
def test_what_is_a_secret_once_it_is_decoded_is_not_quoted(secret: str, form: str) -> None:
    """Escaped twice, in capitals, in pieces: then nothing is quoted at all, which a harmless sentence is."""
    assert redacted(f"rejected: {form}", [secret]) == ""
    assert redacted(f"rejected: {form}", ["something else"]) != ""


def test_data_that_is_a_secret_once_it_is_decoded_is_masked_as_a_whole() -> None:
    """A program gets no text from which it could decode a credential; the texts beside it stay."""
    secret = 'tok/"s3cr3t"\\&more'
    twice = json.dumps(json.dumps({"got": secret}))
    assert mask_data([twice, "tok s3cr3t more", {"got": f"POST {twice}"}], [secret]) == [
        "***",
        "tok s3cr3t more",
        {"got": "***"},
    ]


def each(pattern: str) -> Callable[[str], str]:
    """Write each letter with *pattern*."""
    return lambda text: "".join(pattern.format(ord(letter)) for letter in text)


def utf_16(text: str) -> list[int]:
    return [int.from_bytes(unit.encode("utf-16-be", "surrogatepass")) for unit in halves(text)]


def halves(text: str) -> str:
    return "".join(
        letter if ord(letter) < 0x10000 else f"{chr(0xD7C0 + (ord(letter) >> 10))}{chr(0xDC00 + (ord(letter) & 0x3FF))}"
        for letter in text
    )


DISGUISES: dict[str, Callable[[str], str]] = {
    "percent": each("%{:02x}"),
    "percent twice": lambda text: each("%{:02X}")(each("%{:02X}")(text)),
    "HTML": each("&#{};"),
    "HTML in base 16": each("&#x{:X}"),
    "\\u": each("\\u{:04x}"),
    "\\x": each("\\x{:02x}"),
    "\\U": each("\\U{:08X}"),
    "\\u{}": each("\\u{{{:x}}}"),
    "%u": each("%u{:04X}"),
    "octal": each("\\{:03o}"),
    "mail": each("={:02X}"),
    "lines of mail": lambda text: f"{text[:3]}=\r\n{text[3:]}",
    "spaces": " ".join,
    "lines": "\n".join,
    "NUL": "\0".join,
    "zero width": "\u200b".join,
    "soft hyphen": "\u00ad".join,
    "accents": "\u0332".join,
    "colours": "\x1b[0m".join,
    "wide": lambda text: "".join(chr(ord(letter) + 0xFEE0) if letter > " " else letter for letter in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after one": lambda text: base64.b64encode(f"a{text}".encode()).decode(),
    "base64 in the middle": lambda text: base64.b64encode(f"Bearer {text} and so on".encode()).decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "base32 in the middle": lambda text: base64.b32encode(f"xyz{text}xyz".encode()).decode(),
    "base 16": lambda text: text.encode().hex(),
}


@pytest.mark.parametrize("secret", ["hunter2-secret?PW>>", "867530912", "a!b?c>d~", "k3y."])
@pytest.mark.parametrize("disguise", DISGUISES)
def test_what_shows_in_a_sentence_shows_in_data(disguise: str, secret: str) -> None:
    """One judgement for the message, and for texts and keys of ``errors`` and ``data``."""
    shown = DISGUISES[disguise](secret)
    assert redacted(f"got {shown}", [secret]) == ""
    masked = mask_data({"a": f"got {shown}", shown: [shown], "b": "as it is"}, [secret])
    assert masked == {"a": "***", "***": ["***"], "b": "as it is"}
    assert redacted(f"got {shown}", ["something else"]) != ""


@pytest.mark.parametrize("secret", ["pässw\U0001f600rd-x9", "ünïcödé", "密码密码密码"])
@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: json.dumps(text)[1:-1],
        lambda text: "".join(f"\\u{unit:04x}" for unit in utf_16(text)),
        lambda text: "".join(f"&#{unit};" for unit in utf_16(text)),
        lambda text: quote(text.encode()).lower(),
        lambda text: repr(text.encode())[2:-1],
        lambda text: text.encode().decode("latin-1"),
        lambda text: text.encode().decode("cp1252", "replace"),
        lambda text: base64.b64encode(text.encode()).decode(),
    ],
    ids=["JSON", "UTF-16", "HTML", "percent", "bytes", "UTF-8 as Latin-1", "UTF-8 as Windows", "base64"],
)
def test_letters_beyond_ascii_show_however_they_are_written(disguise: Callable[[str], str], secret: str) -> None:
    """Halves of a letter are put together, and bytes are read as UTF-8."""
    shown = disguise(secret)
    if "\ufffd" in shown:
        return  # Windows has no letter for one of these bytes
    assert secret not in redacted(f"got {shown}", [secret])
    assert shown not in redacted(f"got {shown}", [secret])
    assert mask_data([f"got {shown}"], [secret])[0] in {"***", "got ***"}


def test_letters_in_latin_1_show() -> None:
    """As older servers escape them in a URL."""
    assert redacted("got p%E4ssw%F6rd", ["pässwörd"]) == ""
    assert redacted("got p\\xe4ssw\\xf6rd", ["pässwörd"]) == ""


def test_a_number_may_be_a_password() -> None:
    """A server reads JSON, and repeats digits as a number; a number that is no password stays one."""
    data = {"a": 8675309124, "b": 8675309124.5, "c": 12, "d": True, "e": None}
    assert mask_data(data, ["8675309124"]) == {"a": "***", "b": "***", "c": 12, "d": True, "e": None}
    assert mask_data([1234567], ["12"]) == [1234567]


def test_a_short_secret_and_the_end_of_a_long_one_are_masked_in_data() -> None:
    """As in a message."""
    token = "".join(chr(ord("a") + number * 7 % 26) + str(number) for number in range(30))
    assert mask_data(["token abc!", "b"], ["abc", token]) == ["token ***!", "b"]
    assert mask_data([f"token {token[:20]}..."], ["abc", token]) == ["token ***..."]
    assert mask_data(["abc" + "x" * 20_000], ["abc"]) == ["***"]


@pytest.mark.parametrize(
    "text",
    [
        "Bearer s3cr3t-TOKEN lorem ipsum " * 130_000,
        "\\" * 2**22,
        "%25" * 2**20,
        "&amp;" * 2**20,
        "é" * 2**22,
        "lorem ipsum dolor " * 58_000,
        base64.b64encode(bytes(2**20)).decode(),
        ["s3cr3t-TOKEN"] * 200_000,
        [["s3cr3t-TOKEN", 1, {"a": ""}]] * 100_000,
    ],
    ids=["echoes", "backslashes", "percents", "HTML", "accents", "prose", "base64", "list", "lists"],
)
def test_the_work_on_a_long_answer_is_bounded(text: Any) -> None:
    """What would take long to judge is not shown, and the event loop does not stand still."""
    began = time.process_time()
    masked = mask_data({"a": text}, ["s3cr3t-TOKEN", "x" * 2000])
    assert time.process_time() - began < 3
    assert "s3cr3t-TOKEN" not in str(masked)


def test_a_sentence_takes_little_time() -> None:
    """The longest one that is quoted, full of what must be undone."""
    for part in ("%25", "s3cr3t-TOKEN ", "é\u200b", "&amp;", "s"):
        began = time.process_time()
        redacted((part * MAX_SENTENCE)[:MAX_SENTENCE], ["s3cr3t-TOKEN", "s" * 5000])
        assert time.process_time() - began < 3


@pytest.mark.parametrize(
    ("text", "secrets", "told"),
    [
        ("no HUNTER2", ["hunter2"], "no ***"),
        ("İİİ hunter2 İ", ["HUNTER2"], "İİİ *** İ"),
        ("pa\u017f\u017fword", ["PASSWORD"], "***"),
        ("STRAẞE straße", ["straße"], "*** ***"),
        ("ΟΔΌΣ οδός", ["οδόσ"], "*** ***"),
        ("abcdefgh", ["abcde", "defg"], "***h"),
        ("xababay", ["aba"], "x***y"),
        ("one two", ["one", "two", "one two"], "***"),
        ("a***b", ["*"], "a***b"),
        ("nothing", ["", "something else"], "nothing"),
    ],
)
def test_every_letter_that_belongs_to_a_secret_is_masked(text: str, secrets: list[str], told: str) -> None:
    """Whatever its case, wherever secrets overlap, and whatever letters stand before them; the rest stays as it is."""
    assert redacted(text, secrets) == told


def test_a_secret_as_long_as_a_sentence_can_be_is_masked_and_a_longer_one_costs_nothing() -> None:
    """No text that is quoted has room for it."""
    secret = "s" * MAX_SENTENCE
    assert redacted(secret, [secret]) == "***"
    assert redacted("x" * 50, [secret, "x" * 10_000_000]) == "x" * 50


@pytest.mark.parametrize("cut", [slice(None, 20), slice(30, 50), slice(-16, None)])
def test_a_piece_of_a_long_secret_is_masked_too(cut: slice) -> None:
    """Servers shorten a token that they repeat; a piece of a short secret may be a word by chance."""
    token = "".join(chr(ord("a") + number * 7 % 26) + str(number) for number in range(30))
    assert redacted(f"token {token[cut].upper()}... is invalid", [token]) == "token ***... is invalid"
    assert redacted("the organization is unknown", ["my-organization-2"]) == "the organization is unknown"


def test_masked_data_keeps_its_shape() -> None:
    """Texts and keys are masked at any depth, long ones as a whole; all else stays as it is."""
    nested: Any = "in the middle: s3cr3t-TOKEN"
    for _ in range(20_000):
        nested = [nested]
    data = {"a": [1, None, True, "S3CR3T-token" + "x" * 50_000], "s3cr3t-token": {"b": ""}, "n": nested, "c": "a\r\nb"}
    masked = mask_data(data, ["s3cr3t-token", ""])
    assert masked is data
    assert list(data) == ["a", "***", "n", "c"]
    assert data["a"] == [1, None, True, "***"]
    assert (data["***"], data["c"]) == ({"b": ""}, "a\r\nb")
    while isinstance(nested, list):
        nested = nested[0]
    assert nested == "in the middle: ***"
    assert mask_data("s3cr3t-token", ["s3cr3t-token"]) == "***"
    assert mask_data("nothing", []) == "nothing"


def test_a_sentence_of_the_library_is_masked_and_not_cut() -> None:
    """Its advice comes last, so nothing may be taken from its end."""
    sentence = "the server said \u202e" + "x" * 500 + " s3cr3t;\x1b[2J check the URL"
    assert masked_line(sentence, ["s3cr3t"]) == "the server said " + "x" * 500 + " ***; [2J check the URL"


def test_masking_leaves_no_secret_behind_in_the_caches_of_re() -> None:
    """A pattern is kept for as long as the process lives: none is made of a secret."""
    re.compile("a pattern of the application")
    redacted("wrong: s3cretw0rd", ["s3cretw0rd", "an0ther"])
    kept = repr([value for name, value in vars(re).items() if "cache" in name])
    assert "a pattern of the application" in kept
    assert "s3cretw0rd" not in kept
    assert "an0ther" not in kept


def test_a_quoted_sentence_is_one_printable_line() -> None:
    """Control characters, surrogates and lengths do not reach a log."""
    assert redacted("a\r\nb\x1b[31m\ud800 c", []) == "a b [31m c"
    assert redacted("x" * 1000, []) == "x" * (MAX_QUOTE - 1) + "…"
    assert redacted("x" * 100_000, []) == ""
    assert redacted({"a": 1}, []) == ""


@pytest.mark.no_cover
@given(
    st.text(),
    st.text(min_size=4, max_size=12).filter(lambda text: text.strip("*… ") == text and "*" not in text),
    st.text(),
)
def test_no_quoted_sentence_holds_the_secret(before: str, secret: str, after: str) -> None:
    """Wherever it stands in the text."""
    quote = redacted(before + secret + after, [secret])
    assert secret not in quote
    assert len(quote) <= MAX_QUOTE
    assert quote.isprintable()
