"""`check` and `token`, against the emulator and against servers that are not the API."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import graphql
import pytest
from aiohttp import web

from exterview_auth._cli import main
from exterview_auth.emulator import Emulator
from exterview_auth.logins._password import DOCUMENT
from tests.kit.command import Answer, Elsewhere
from tests.kit.tokens import jwt_of

Complaint = Callable[[], str]


# -- what works -----------------------------------------------------------------------------------------------------


def test_check_proves_the_credentials(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """One line: the endpoint, where the token comes from, how long it lives; never the token."""
    assert main(["check"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out == (
        f"{emulator.endpoint} accepts the API key and the token from EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD; "
        "the token lives 60 min\n"
    )


def test_check_in_json(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that programs can read; for people, a short life is in seconds, because minutes would say nothing."""
    emulator.token_lifetime = 90.0
    assert main(["check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "endpoint": emulator.endpoint,
        "credentials": "EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD",
        "token_lifetime": 90.0,
    }
    assert main(["check"]) == 0
    assert "the token lives 90 s" in capsys.readouterr().out


def test_check_with_a_fixed_token(fixed_token: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An opaque token does not say how long it lives, and check does not make it up."""
    assert main(["check"]) == 0
    printed = capsys.readouterr().out
    assert "the token from EXTERVIEW_BEARER_TOKEN; the token does not say how long it lives" in printed
    assert fixed_token not in printed


@pytest.mark.usefixtures("emulator")
def test_token_prints_the_token_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """So that `TOKEN=$(exterview-auth token)` works."""
    assert main(["token"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert re.fullmatch(r"[^ ]{20,}\n", printed.out)


def test_token_as_a_header(fixed_token: str, capsys: pytest.CaptureFixture[str]) -> None:
    """So that `curl -H "$(exterview-auth token --header)"` works."""
    assert main(["token", "--header"]) == 0
    assert capsys.readouterr().out == f"Authorization: Bearer {fixed_token}\n"


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("command", ["check", "token"])
def test_the_extra_cli_alone_is_enough(command: str) -> None:
    """Neither graphql-core nor the emulator is imported."""
    program = (
        "import sys; sys.modules['graphql'] = sys.modules['exterview_auth.emulator'] = None\n"
        f"from exterview_auth._cli import main; sys.exit(main([{command!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


# -- what the API refuses -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("command", ["check", "token"])
@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("EXTERVIEW_PASSWORD", " for this user: it answered"),
        ("EXTERVIEW_API_KEY", ": the header x-api-key is not accepted (it answered"),
    ],
)
def test_a_wrong_password_is_not_a_wrong_key(
    command: str, variable: str, sentence: str, monkeypatch: pytest.MonkeyPatch, complaint: Complaint
) -> None:
    """The sentence names the variables to correct, and only these."""
    monkeypatch.setenv(variable, "wrong-4711")
    assert main([command]) == 1
    assert complaint().startswith(f"exterview-auth: the login was refused{sentence}")


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, {"data": None, "errors": [{"message": "Account locked after 5 attempts", "path": ["login"]}]}),
        (401, {"error": {"detail": "user locked, contact admin"}}),
        (403, {"error": "this user was disabled"}),
        (401, {"error": "Invalid email or password"}),
    ],
)
def test_what_the_server_says_of_a_user_is_not_contradicted(
    status: int, answer: dict[str, object], serve: Callable[[Answer], None], complaint: Complaint
) -> None:
    """A sentence of the library that calls the password wrong would send the reader of "locked" the wrong way."""

    async def refuse(_request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(answer, status=status)

    serve(refuse)
    assert main(["check"]) == 1
    sentence = complaint()
    assert sentence.startswith(f"exterview-auth: the login was refused for this user: it answered {status}, '")
    assert "correct EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD; if the account is locked or disabled, ask" in sentence
    assert "wrong" not in sentence


@pytest.mark.usefixtures("fixed_token")
def test_an_expired_token_is_called_expired(monkeypatch: pytest.MonkeyPatch, complaint: Complaint) -> None:
    """The time is the token's own, in UTC; nothing else of it is printed."""
    token = jwt_of(exp=1735787045, sub="somebody")
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", token)
    assert main(["check"]) == 1
    sentence = complaint()
    assert "the token itself says that it expired on 2025-01-02 03:04:05 UTC; put a new token into" in sentence
    assert token.split(".")[1] not in sentence
    assert "somebody" not in sentence


def test_a_failure_in_json_goes_to_both(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of JSON says what the sentence says."""
    monkeypatch.setenv("EXTERVIEW_API_KEY", "wrong-key-4711")
    assert main(["check", "--json"]) == 1
    printed = capsys.readouterr()
    answer = json.loads(printed.out)
    assert (answer["ok"], answer["endpoint"], answer["error"]) == (False, emulator.endpoint, "CredentialsRejectedError")
    assert f"{answer['message']}; {answer['hint']}" in printed.err


@pytest.mark.usefixtures("emulator")
def test_a_wrong_configuration_in_json_exits_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has no endpoint yet, and says what to set."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    assert main(["check", "--json"]) == 2
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], answer["endpoint"], answer["error"]) == (False, None, "ConfigurationError")
    assert "EXTERVIEW_API_KEY" in answer["hint"]


@pytest.mark.parametrize("environ", [{}, {"EXTERVIEW_EMAIL": "a@b.example"}, {"EXTERVIEW_API_KEY": "key"}], ids=str)
def test_without_credentials_the_json_names_none(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the variables that are in use, and guesses none."""
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert main(["check", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["credentials"] is None


@pytest.mark.parametrize("name", ["EXTERVIEW_PASSWORD", "EXTERVIEW_BEARER_TOKEN"])
def test_variables_with_line_ends_and_a_byte_order_mark_serve(
    name: str, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of a file that was written on Windows, and so does a secret's file with both."""
    if name == "EXTERVIEW_BEARER_TOKEN":
        monkeypatch.setenv(name, emulator.issue_token())
        monkeypatch.delenv("EXTERVIEW_EMAIL")
        monkeypatch.delenv("EXTERVIEW_PASSWORD")
    for variable in [variable for variable in os.environ if variable.startswith("EXTERVIEW_")]:
        monkeypatch.setenv(variable, f"\ufeff{os.environ[variable]}\r\n")
    assert main(["check"]) == 0
    (tmp_path / "secret").write_text(os.environ[name], newline="")
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", f"{tmp_path / 'secret'}\r\n")
    assert main(["check"]) == 0
    assert f"{name}_FILE; the token" in capsys.readouterr().out


QUOTED = "in quotation marks, which docker's --env-file does not remove; remove them"


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize("command", ["check", "token"])
@pytest.mark.parametrize("name", ["EXTERVIEW_API_KEY", "EXTERVIEW_EMAIL", "EXTERVIEW_PASSWORD", "EXTERVIEW_ENDPOINT"])
def test_quotation_marks_around_a_variable_are_named(
    name: str, command: str, quote: str, monkeypatch: pytest.MonkeyPatch, complaint: Complaint
) -> None:
    """A shell removes them from a file of variables, docker does not: they were sent, and refused."""
    monkeypatch.setenv(name, f"{quote}{os.environ[name]}{quote}")
    assert main([command]) in {1, 2}
    assert complaint().endswith(f"; {name} stands {QUOTED}")


@pytest.mark.usefixtures("emulator")
def test_quotation_marks_around_a_token_and_a_key_are_named(
    fixed_token: str, monkeypatch: pytest.MonkeyPatch, complaint: Complaint
) -> None:
    """All variables that have some."""
    monkeypatch.setenv("EXTERVIEW_API_KEY", f'"{os.environ["EXTERVIEW_API_KEY"]}"')
    monkeypatch.setenv("EXTERVIEW_BEARER_TOKEN", f'"{fixed_token}"')
    assert main(["check"]) == 1
    said = complaint()
    assert {name for name in os.environ if name.startswith("EXTERVIEW") and name in said} == {
        "EXTERVIEW_API_KEY",
        "EXTERVIEW_BEARER_TOKEN",
    }
    assert said.endswith(f" stand {QUOTED}")


def test_quotation_marks_are_not_blamed_for_a_server_that_is_away(
    elsewhere: Elsewhere, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, complaint: Complaint
) -> None:
    """They may be a part of the password, and nothing was refused."""
    elsewhere.run(emulator.stop())
    monkeypatch.setenv("EXTERVIEW_PASSWORD", '"quoted"')
    assert main(["check", "--timeout", "0.1"]) == 1
    assert "quotation" not in complaint()


def apollo(schema: str, **resolvers: Callable[..., Any]) -> Answer:
    """A server of *schema*, with the answers of a real engine in the shape in which Apollo Server gives them."""
    engine = graphql.build_schema(schema)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        document = graphql.parse((sent := await request.json())["query"])
        wrong = graphql.validate(engine, document)
        if wrong:
            coded = [{**each.formatted, "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}} for each in wrong]
            return web.json_response({"errors": coded}, status=400)
        done = graphql.execute_sync(engine, document, resolvers, variable_values=sent.get("variables"))
        return web.json_response(done.formatted)

    return answer


@pytest.mark.usefixtures("emulator")
def test_a_server_with_another_login_mutation_names_the_variable_for_it(
    serve: Callable[[Answer], None], complaint: Complaint
) -> None:
    """The three variables that are right are not blamed, and nothing of the advice is cut off."""
    serve(
        apollo(
            "type Query { ok: Int } type Mutation { signIn(email: String!, password: String!): Session }"
            " type Session { jwt: String } "
        )
    )
    assert main(["check"]) == 1
    said = complaint()
    assert "Cannot query field 'login' on type 'Mutation'. Did you mean 'signIn'?" in said
    assert said.endswith(
        "; the default login mutation is a guess that does not fit this API: set EXTERVIEW_LOGIN_DOCUMENT to the API's own"
    )
    assert "EXTERVIEW_API_KEY" not in said
    assert "EXTERVIEW_PASSWORD" not in said


@pytest.mark.usefixtures("emulator")
def test_a_server_with_another_place_for_its_token_names_the_variable_for_it(
    serve: Callable[[Answer], None], complaint: Complaint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutation is right, and what it gives is called by a name that no other API uses."""
    schema = "type Query { ok: Int } type Mutation { login(email: String!, password: String!): Login }"
    document = DOCUMENT.replace("token expiresIn", "passport")
    monkeypatch.setenv("EXTERVIEW_LOGIN_DOCUMENT", document)
    serve(apollo(f"{schema} type Login {{ passport: String }}", login=lambda *_, **__: {"passport": "hidden"}))
    assert main(["check"]) == 1
    said = complaint()
    assert said.endswith(": it has login.passport); set EXTERVIEW_TOKEN_FIELD to the name or dotted path of the token")
    assert "hidden" not in said


@pytest.mark.usefixtures("emulator")
def test_an_account_that_gets_no_token_is_asked_about(serve: Callable[[Answer], None], complaint: Complaint) -> None:
    """No variable helps where the token is null."""
    schema = "type Query { ok: Int } type Mutation { login(email: String!, password: String!): Login }"
    serve(apollo(f"{schema} type Login {{ token: String expiresIn: Int }}", login=lambda *_, **__: {"token": None}))
    assert main(["check"]) == 1
    assert "login.token is null); does the account need a second factor, or is it locked?" in complaint()


# -- servers that are not the API -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "token"])
def test_a_login_at_a_closed_port(command: str, elsewhere: Elsewhere, emulator: Emulator, complaint: Complaint) -> None:
    """The login is tried again within the timeout, then the sentence names the endpoint's variable."""
    elsewhere.run(emulator.stop())
    assert main([command, "--timeout", "0.1"]) == 1
    assert "EXTERVIEW_ENDPOINT" in complaint()


@pytest.mark.usefixtures("fixed_token")
def test_a_request_at_a_closed_port(elsewhere: Elsewhere, emulator: Emulator, complaint: Complaint) -> None:
    """A fixed token needs no login, and the request itself fails."""
    elsewhere.run(emulator.stop())
    assert main(["check"]) == 1
    assert "there is no connection to 127.0.0.1:" in complaint()


@pytest.mark.usefixtures("fixed_token")
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<html>Welcome</html>", "EXTERVIEW_ENDPOINT"),
        ("[]", "EXTERVIEW_ENDPOINT"),
        ('{"data": {}}', "EXTERVIEW_ENDPOINT"),
        ('{"data": null, "errors": [{"message": "no such field"}]}', "no such field"),
    ],
)
def test_answers_that_are_not_the_apis(
    body: str, says: str, serve: Callable[[Answer], None], complaint: Complaint
) -> None:
    """Each is one sentence, whatever comes."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=body, content_type="application/json")

    serve(answer)
    assert main(["check"]) == 1
    assert says in complaint()


@pytest.mark.usefixtures("fixed_token")
def test_a_server_that_echoes_the_credentials(serve: Callable[[Answer], None], complaint: Complaint) -> None:
    """They are removed from its words, and so are its control codes."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        words = f"\x1b[31m{request.headers['Authorization']}\n{request.headers['x-api-key']}" + "x" * 1000
        return web.json_response({"error": words}, status=403)

    serve(answer)
    assert main(["check"]) == 1
    sentence = complaint()
    assert "***" in sentence
    assert "\x1b" not in sentence
    assert len(sentence) < 500


@pytest.mark.parametrize("password", ["wrong", "password", "login", "refused", "correct", "EXTERVIEW_PASSWORD", "401"])
@pytest.mark.parametrize("command", ["check", "token", "doctor"])
def test_a_password_that_is_a_word_of_a_sentence_leaves_it_readable(
    command: str, password: str, serve: Callable[[Answer], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    """A gap would tell the reader what the password is; in the server's words, it is masked all the same."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", password)

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response({"error": f"user <{password}>"}, status=401)

    serve(answer)
    assert main([command]) == 1
    printed = capsys.readouterr()
    [sentence] = [line for line in (printed.out + printed.err).splitlines() if "the login was refused" in line]
    assert ": it answered 401, 'user <***>'; correct EXTERVIEW_EMAIL and EXTERVIEW_PASSWORD" in sentence
    assert sentence.count("***") == 1


async def wrong_key(_request: web.BaseRequest) -> web.StreamResponse:
    return web.json_response({"error": "Missing or invalid API key"}, status=401)


def test_a_wrong_key_is_to_be_put_where_it_came_from(
    tmp_path: Path, serve: Callable[[Answer], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key from a file is corrected in the file: the variable would hide the file for good."""
    (tmp_path / "key").write_text("an-old-key\n")
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    monkeypatch.setenv("EXTERVIEW_API_KEY_FILE", str(tmp_path / "key"))
    serve(wrong_key)
    assert main(["check"]) == 1
    assert "put a valid key into EXTERVIEW_API_KEY_FILE" in capsys.readouterr().err


UNPRINTABLE = "\u202e\u2066\u200b\ufeff\u2028\x1b[2J\x07\x9b31m"
"""What turns text around, hides it, or commands a terminal."""


@pytest.mark.parametrize("command", ["check", "check --json", "token"])
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
@pytest.mark.parametrize("long", [True, False])
def test_no_command_prints_an_echo_or_what_is_not_printable(
    *,
    command: str,
    status: int,
    long: bool,
    emulator: Emulator,
    serve: Callable[[Answer], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Masked, then shortened; a secret that is longer than what is printed shows no part of itself."""
    secret = "".join(f"{number:x}s3cr3t" for number in range(200)) if long else "s3cr3t-0123456789"
    monkeypatch.setenv("EXTERVIEW_PASSWORD", secret)

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        echo = (await request.read()).decode() + str(dict(request.headers))
        words = f"{UNPRINTABLE}{secret} {'x' * 150} {secret} {UNPRINTABLE}{echo}"
        return web.json_response({"error": words, "errors": [{"message": words}]}, status=status)

    serve(answer)
    assert main([*command.split(), "--timeout", "0.3"]) == 1
    printed = capsys.readouterr()
    for text in (printed.err.removesuffix("\n"), *(json.loads(printed.out).values() if "json" in command else ())):
        assert "s3cr3t" not in str(text)
        assert emulator.api_key not in str(text)
        assert not isinstance(text, str) or text.isprintable()
        assert not isinstance(text, str) or len(text) < 600


@pytest.mark.usefixtures("emulator")
def test_what_a_variable_holds_does_not_command_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path is printed, because it has to be corrected; what cannot be printed in it is not."""
    monkeypatch.delenv("EXTERVIEW_API_KEY")
    monkeypatch.setenv("EXTERVIEW_API_KEY_FILE", f"/nowhere/{UNPRINTABLE}key")
    assert main(["check"]) == 2
    printed = capsys.readouterr().err
    assert "/nowhere/ [2J 31mkey cannot be read" in printed
    assert printed.removesuffix("\n").isprintable()


@pytest.mark.parametrize("command", ["check", "check --json"])
def test_the_query_of_the_endpoint_is_not_printed(
    command: str, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signature in the URL is as secret as a key."""
    monkeypatch.setenv("EXTERVIEW_ENDPOINT", f"{emulator.endpoint}?sig=s3cr3t-signature")
    assert main(command.split()) == 0
    printed = capsys.readouterr()
    assert f"{emulator.endpoint}?***" in printed.out
    assert "s3cr3t" not in printed.out + printed.err


@pytest.mark.usefixtures("fixed_token")
@pytest.mark.parametrize("location", ["//[]@", "ftp://h.example/", "/graphql"], ids=["no URL", "no HTTP", "itself"])
def test_a_redirect_that_cannot_be_followed(
    location: str, serve: Callable[[Answer], None], complaint: Complaint
) -> None:
    """One sentence that says so: the server speaks HTTP, and the network is fine."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=307, headers={"Location": location})

    serve(answer)
    assert main(["check"]) == 1
    assert complaint().endswith(
        "the endpoint redirects to no address that can be followed; set EXTERVIEW_ENDPOINT to its final URL"
    )


GRAPHQL_URL = "check that EXTERVIEW_ENDPOINT is the /graphql URL of the API"


@pytest.mark.usefixtures("emulator")
@pytest.mark.parametrize(
    ("response", "says"),
    [
        ({"text": "<html>", "content_type": "text/html"}, f"answered with text/html instead of JSON); {GRAPHQL_URL}"),
        ({"status": 404}, f"it answered 404); {GRAPHQL_URL}"),
        (
            {"status": 308, "headers": {"Location": "https://h.example/graphql"}},
            "credentials are not sent there); set EXTERVIEW_ENDPOINT to its final URL",
        ),
    ],
    ids=["page", "404", "redirect"],
)
def test_a_login_at_a_wrong_url_blames_no_credentials(
    response: dict[str, Any], says: str, serve: Callable[[Answer], None], complaint: Complaint
) -> None:
    """The library's advice is given once, by the variable that it is about."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(**response)

    serve(answer)
    assert main(["check"]) == 1
    said = complaint()
    assert said.endswith(says)
    assert "EXTERVIEW_PASSWORD" not in said
