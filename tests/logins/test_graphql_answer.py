"""How a login recognises its refusal in a GraphQL answer: by the answer's structure, in whatever shape a server writes it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from yarl import URL

from exterview_auth import CredentialsRejectedError, LoginError, LoginUnavailableError, PasswordLogin
from exterview_auth.logins._context import PossibleRejectionError
from exterview_auth.logins._document import own_fields
from exterview_auth.logins._request import LoginResponse
from tests.kit.login_endpoint import DATE, EMAIL, PASSWORD, SECRETS, assert_no_secret, raised


def judged(payload: object, status: int = 200, **options: Any) -> LoginError:
    """What an answer is to a login by e-mail and password."""
    body = json.dumps(payload).encode()
    response = LoginResponse(URL("https://api.example"), status, {"Date": DATE, "Retry-After": "3"}, body, SECRETS)
    with pytest.raises(LoginError) as caught:
        raised(PasswordLogin(EMAIL, PASSWORD, **options)._read(response))
    assert_no_secret(caught.value)
    return caught.value


def error(message: object = "oops", code: object = None, path: object = None, **extensions: Any) -> dict[str, Any]:
    """An error of a GraphQL answer."""
    named = {**extensions, **({} if code is None else {"code": code})}
    return {"message": message, **({"extensions": named} if named else {}), **({} if path is None else {"path": path})}


OWN = ["login"]
INTERNAL = "INTERNAL_SERVER_ERROR"


# -- errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payload",
    [
        {"errors": [error("Kein Zugang", path=OWN)], "data": {"login": None}},
        {"errors": [error("Kein Zugang", "SOMETHING_ELSE", OWN)], "data": None},
        {"errors": [error("Kein Zugang", 101, OWN)], "data": {"login": None}},  # Parse's own number
        {"errors": [error("Kein Zugang", path=[*OWN, "user", 0])]},
        {"errors": [{**error("Kein Zugang", path=OWN), "category": "user"}], "data": {"login": None}},
        {"errors": [error("Kein Zugang")], "data": {"login": None}},  # some servers leave the path out
    ],
)
@pytest.mark.parametrize("status", [200, 400, 422])
def test_an_error_of_the_logins_own_field_is_its_answer(payload: object, status: int) -> None:
    """Whatever its words and its code: it was executed, and the login refused."""
    refusal = judged(payload, status)
    assert isinstance(refusal, CredentialsRejectedError)
    assert refusal.reason == "user"
    assert f"it answered {status}, 'Kein Zugang'" in str(refusal)


@pytest.mark.parametrize(
    ("payload", "status"),
    [
        ({"errors": [error("No such person", INTERNAL, OWN)], "data": None}, 200),
        ({"errors": [error("No such person", INTERNAL, OWN)]}, 200),
        ({"errors": [error("No such person", INTERNAL)], "data": {"login": None}}, 200),
        ({"errors": [error("No such person", path=OWN)], "data": None}, 500),  # express-graphql's status for no data
        ({"errors": [error("No such person", path=OWN, statusCode=500)], "data": {"login": None}}, 200),
        ({"errors": [{**error("No such person", path=OWN), "category": "internal"}], "data": {"login": None}}, 200),
        ({"data": {"login": {"success": False, "code": "500", "message": "No such person"}}}, 200),
    ],
)
def test_an_internal_error_of_the_login_may_be_a_rejection(payload: object, status: int) -> None:
    """Apollo gives this code to any exception: the core asks once more, and no more."""
    failure = judged(payload, status)
    assert isinstance(failure, PossibleRejectionError)
    assert "is not available: it answered" in str(failure)
    assert "'No such person'" in str(failure.rejection)
    assert failure.retry_after == 3.0


@pytest.mark.parametrize("message", ["No such user, invalid login", "Invalid login", "Unknown account", "bad api-key"])
def test_words_that_agree_save_the_second_request(message: str) -> None:
    """Where the structure says that it may be a rejection, a sentence about wrong credentials decides it."""
    assert type(judged({"errors": [error(message, INTERNAL, OWN)], "data": None})) is CredentialsRejectedError


@pytest.mark.parametrize(
    "extensions",
    [
        {"exception": {"code": 400, "data": {"messages": []}}},  # Strapi 3
        {"response": {"statusCode": 401, "message": "Unauthorized"}},  # Nest
        {"originalError": {"statusCode": 401}},
        {"http": {"status": 403}},
        {"status": 404},
        {"statusCode": "401"},
        {"errorCode": 422},
        {"error": {"status": 400, "name": "ValidationError"}},
    ],
)
def test_a_status_inside_an_error_counts_as_a_status(extensions: dict[str, Any]) -> None:
    """It outranks the code of an internal error."""
    for path in (OWN, None):
        failure = judged({"errors": [error("Unauthorized", INTERNAL, path, **extensions)], "data": None})
        assert type(failure) is CredentialsRejectedError


@pytest.mark.parametrize(
    "failure",
    [
        error("slow down", "THROTTLED", OWN),
        error("slow down", INTERNAL, OWN, exception={"status": 429}),
        error("down", INTERNAL, OWN, http={"status": 503}),
        error("down", "SUBREQUEST_HTTP_ERROR", OWN),
        error("down", INTERNAL),
        error("down", "busy"),
        {"message": "internal error", "extensions": {"code": "unexpected", "path": "$"}},  # Hasura
        error("down", path=OWN, response={"statusCode": 408}),
    ],
)
def test_an_error_about_the_servers_load_is_no_rejection(failure: object) -> None:
    """It is tried again, also where the login's own field says so."""
    found = judged({"errors": [failure], "data": None})
    assert type(found) is LoginUnavailableError
    assert found.retry_after == 3.0


@pytest.mark.parametrize(
    "failure",
    [
        # Hasura has a path of its own kind.
        {"message": "no field", "extensions": {"code": "validation-failed", "path": "$.selectionSet.login"}},
        error("Expected NAME", "parse-failed"),
        error(
            "Field 'login' doesn't exist on type 'Mutation'", "undefinedField", ["mutation Login", "login"]
        ),  # graphql-ruby
        error("Field 'login' doesn't exist on type 'Mutation'", path=["mutation", "login"]),
        {**error('Cannot query field "login" on type "Mutation".'), "locations": [{"line": 1, "column": 1}]},
        error("Cannot query field", category="graphql"),
    ],
)
def test_an_error_before_the_execution_is_about_the_document(failure: object) -> None:
    """Hasura, Shopify and others have codes and paths of their own for it."""
    for payload in ({"errors": [failure]}, {"errors": [failure], "data": None}):
        found = judged(payload)
        assert type(found) is LoginError
        assert "set document= and variables=" in str(found)


@pytest.mark.parametrize("path", [[], [None], [["login"]], [{"login": 1}], [7], "login", {"login": 1}])
def test_a_path_of_another_shape_is_none(path: object) -> None:
    """A server may write anything there."""
    for document in ("mutation { login { jwt } }", "mutation { ...F }"):
        assert type(judged({"errors": [error("down", INTERNAL, path)]}, document=document)) is LoginUnavailableError


def test_a_path_of_another_field_is_not_the_logins() -> None:
    """A document may have an alias, or ask for something else besides."""
    failure = {"errors": [error("down", INTERNAL, ["audit"])]}
    assert isinstance(judged(failure, document="mutation { audit: signIn { jwt } }"), PossibleRejectionError)
    assert type(judged(failure, document="mutation { login { jwt } }")) is LoginUnavailableError
    assert isinstance(judged(failure, document="mutation { ...F }"), PossibleRejectionError)


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ('mutation Login($a: [String!]! = ["{"] @x) @y(z: {q: 1}) { login(a: $a, b: {c: 1}) { token { value } } }', "login"),
        ('{ a: login b @include(if: true) { c } """ } """ d }', "a b d"),
        ("fragment F on Mutation { no } mutation fragment { login { ...F } } mutation B { other }", "login"),
        ("query { me } # { x }", "me"),
        ("mutation { ... on Mutation { login } }", ""),
        ("}}}} mutation { login }", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_documents_own_fields_are_those_of_its_first_operation(document: str, fields: str) -> None:
    """By the names under which they are answered; none where fragments hide them."""
    assert own_fields(document) == set(fields.split())


# -- data ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        {"token": None, "errors": [{"field": "email", "code": "INVALID_CREDENTIALS", "message": "Sorry"}]},
        {"customerAccessToken": None, "customerUserErrors": [{"code": "X", "field": ["input"], "message": "Sorry"}]},
        {"userErrors": [{"message": "Sorry"}]},
        {"accountErrors": ["Sorry"], "errors": []},
        {"success": False, "errors": {"nonFieldErrors": [{"message": "Sorry", "code": "invalid_credentials"}]}},
        {"errors": [{"field": "username", "messages": ["Sorry"]}]},
        {"error": {"message": "Sorry"}},
        {"error": "Sorry", "token": ""},
        {"error": True, "message": "Sorry"},
        {"__typename": "UserAuthenticationWithPasswordFailure", "message": "Sorry"},
        {"__typename": "LoginError", "reason": "Sorry", "at": "x"},
        {"__typename": "NotVerifiedError", "message": "Sorry", "errorCode": "NOT_VERIFIED_ERROR"},
        {"message": "Sorry", "errorCode": "X", "authenticationError": ""},
        {"message": "Sorry"},
        {"message": "Sorry", "user": None, "token": None},
        {"success": False, "message": "Sorry"},
        {"ok": False, "message": "Sorry", "user": {"id": 1}},
        {"status": 0, "message": "Sorry", "result": {}},
        {"status": False, "message": "Sorry"},
        {"status": "ERROR", "message": "Sorry"},
        {"code": "401", "success": False, "message": "Sorry"},
        {"statusCode": 401, "message": "Sorry", "data": {"a": 1}},
    ],
)
def test_a_refusal_in_the_data_is_a_rejection(answer: dict[str, Any]) -> None:
    """``errors`` of any name, types of failure, ``success: false``, ``status: 0``, or a message alone, quoted."""
    for data in ({"signIn": answer}, {"auth": {"signIn": answer}}, {"signIn": answer, "audit": None}):
        refusal = judged({"data": data})
        assert type(refusal) is CredentialsRejectedError
        assert refusal.reason == "user"
        assert str(refusal).endswith("it answered 200, 'Sorry'")


@pytest.mark.parametrize(
    "payload",
    [
        {"error": "Sorry"},
        {"error": {"message": "Sorry", "type": "OAuthException"}},
        {"errors": "Sorry"},
        {"errors": {"message": "Sorry"}},
        {"error": {"errors": [error("Sorry", path=OWN)]}},
        {"success": False, "message": "Sorry"},
        {"message": "Sorry"},
    ],
)
def test_a_refusal_that_is_not_graphqls_is_a_rejection(payload: object) -> None:
    """A gateway's, or a REST API's: with status 200, in the shapes that it would have in the data."""
    refusal = judged(payload)
    assert type(refusal) is CredentialsRejectedError
    assert refusal.reason is None
    assert str(refusal).endswith("it answered 200, 'Sorry'")


@pytest.mark.parametrize("code", ["TOO_MANY_REQUESTS", "THROTTLED", 429])
def test_a_refusal_in_the_data_may_be_about_the_servers_load(code: object) -> None:
    """As an error may."""
    for answer in (
        {"errors": [{"message": "later", "code": code}]},
        {"success": False, "code": code, "message": "later"},
    ):
        assert type(judged({"data": {"login": answer}})) is LoginUnavailableError


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "t",
        {},
        {"user": {"status": 0, "message": "hello"}, "key": "abc"},
        {"success": True, "message": "code sent"},
        {"status": 1, "message": "code sent"},
        {"status": "success", "message": "code sent"},
        {"message": "code sent", "mfaId": "m-1"},
        {"errors": [], "error": None, "session": {"key": "abc"}},
    ],
)
def test_an_answer_that_refuses_nothing_is_not_a_rejection(answer: object) -> None:
    """It may have a token in another place, or ask for a second factor: the sentence says where it looked, and quotes."""
    failure = judged({"data": {"login": answer}})
    assert type(failure) is LoginError
    assert "without a token in its data" in str(failure)
    assert ("'code sent'" in str(failure)) == ("code sent" in json.dumps(answer))


def test_a_hostile_refusal_is_read_in_part() -> None:
    """Neither wide nor deep errors hold up the loop."""
    deep: Any = "Sorry"
    for _ in range(200):
        deep = [deep]
    assert type(judged({"data": {"login": {"errors": deep, "success": False}}})) is CredentialsRejectedError
    wide = [{"message": "Sorry", "code": str(number)} for number in range(10_000)]
    assert type(judged({"data": {"login": {"errors": wide}}})) is CredentialsRejectedError
