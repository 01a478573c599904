"""The recipe for gql."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gql import FileVar, GraphQLRequest
from gql.transport.exceptions import TransportConnectionFailed, TransportServerError

from exterview_auth import CredentialsRejectedError, ExterviewAuth, LoginUnavailableError, graphql_unauthenticated
from exterview_auth.testing import ThreadedEmulator, expect
from tests.kit.showing import assert_shows_none

from . import with_gql

QUERY = GraphQLRequest("{ __typename }")
FIRST_CANDIDATE = GraphQLRequest("{ getCandidates(input: {pageSize: 1}) { candidate { _id } } }")


@pytest.fixture
async def auth(exterview_env: Any) -> AsyncIterator[ExterviewAuth]:
    """The owner that the recipe's `main` has."""
    async with ExterviewAuth.from_env(is_unauthorized=graphql_unauthenticated) as owner:
        yield owner


CONTENT = b"%PDF-1.7 " + bytes(range(256)) * 1000


@pytest.fixture
def resume(tmp_path: Path) -> Path:
    """A file that does not fit into one piece."""
    path = tmp_path / "resume.pdf"
    path.write_bytes(CONTENT)
    return path


async def first_candidate(session: Any) -> str:
    """Return the id of a candidate."""
    return str((await session.execute(FIRST_CANDIDATE))["getCandidates"]["candidate"][0]["_id"])


async def test_the_program_runs_as_it_is(exterview_env: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the answer and leaves nothing open."""
    await with_gql.main()
    assert capsys.readouterr().out == "{'__typename': 'Query'}\n"


async def test_queries_share_one_login(auth: ExterviewAuth, exterview: ThreadedEmulator) -> None:
    """Thirty at once make one login at the start, and one after the token was revoked; nobody notices."""
    async with with_gql.opened(auth) as session:
        with expect(exterview, logins=1, refused=0):
            await asyncio.gather(*(session.execute(QUERY) for _ in range(30)))
        exterview.revoke()
        with expect(exterview, logins=1):
            answers = await asyncio.gather(*(session.execute(QUERY) for _ in range(30)))
    assert answers == [{"__typename": "Query"}] * 30
    assert auth.stats().replays == exterview.refused > 0


async def test_an_upload_arrives_whole_after_a_401(
    auth: ExterviewAuth, exterview: ThreadedEmulator, resume: Path
) -> None:
    """The file is read again from its beginning, and the recipe can be called again with the same path."""
    async with with_gql.opened(auth) as session:
        candidate = await first_candidate(session)
        for _ in range(2):
            exterview.revoke()
            with expect(exterview, logins=1, refused=1):
                digest = await with_gql.upload_resume(session, candidate, str(resume))
            assert digest == hashlib.sha256(CONTENT).hexdigest()


# What aiofiles has opened is closed by the garbage collector, because gql does not close the stream.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_streamed_upload_ends_with_its_401(
    auth: ExterviewAuth, exterview: ThreadedEmulator, resume: Path
) -> None:
    """Why the recipe does not stream: the caller gets the 401, and only the next request has the new token."""
    async with with_gql.opened(auth) as session:
        variables = {"id": await first_candidate(session), "file": FileVar(str(resume), streaming=True)}
        exterview.revoke()
        with expect(exterview, logins=1, refused=1):
            with pytest.raises(TransportServerError) as caught:
                await session.execute(GraphQLRequest(with_gql.UPLOAD, variable_values=variables), upload_files=True)
            assert caught.value.code == 401
            assert await session.execute(QUERY) == {"__typename": "Query"}
    del variables, caught
    gc.collect()


async def test_a_subscription_is_renewed_in_its_handshake(auth: ExterviewAuth, exterview: ThreadedEmulator) -> None:
    """Ten subscriptions at once with a revoked token make one login, and each gets all its results."""

    async def indices() -> list[int]:
        text = "subscription { clock(interval: 0, count: 3) { index } }"
        return [answer["clock"]["index"] async for answer in with_gql.subscribed(auth, text)]

    assert await indices() == [0, 1, 2]
    exterview.revoke()
    with expect(exterview, logins=1):
        assert await asyncio.gather(*(indices() for _ in range(10))) == [[0, 1, 2]] * 10


async def test_graphqls_own_401_counts(exterview_env: Any, exterview: ThreadedEmulator) -> None:
    """``is_unauthorized=graphql_unauthenticated``: an answer of status 200 is renewed too."""
    refusal = {"message": "Who are you?", "extensions": {"code": "UNAUTHENTICATED"}}
    exterview.answer("Roles", errors=[refusal])

    def on_token(_new: object, old: object, _reason: str) -> None:
        if old is not None:
            exterview.answer("Roles", data={"roles": []})

    options: dict[str, Any] = {"is_unauthorized": graphql_unauthenticated, "on_token": on_token}
    async with ExterviewAuth.from_env(**options) as auth, with_gql.opened(auth) as session:
        with expect(exterview, logins=2, refused=0):
            assert await session.execute(GraphQLRequest("query Roles { roles }")) == {"roles": []}


async def test_wrong_credentials_are_one_login_and_one_clear_error(
    exterview_env: Any, exterview: ThreadedEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of gql has this library's as its cause, with no secret anywhere."""
    monkeypatch.setenv("EXTERVIEW_PASSWORD", "not-the-password")
    async with ExterviewAuth.from_env() as auth, with_gql.opened(auth) as session:
        with expect(exterview, logins=1, requests=1):
            outcomes = await asyncio.gather(*(session.execute(QUERY) for _ in range(10)), return_exceptions=True)
        for outcome in outcomes:
            assert isinstance(outcome, TransportConnectionFailed)
            assert isinstance(outcome.__cause__, CredentialsRejectedError)
            assert_shows_none(outcome, "not-the-password", exterview.api_key)


async def test_a_login_that_is_down_says_when_to_come_back(auth: ExterviewAuth, exterview: ThreadedEmulator) -> None:
    """The cause has ``retry_after``, for a 503 of the application's own."""
    exterview.fail_logins(10, retry_after=3600)
    async with with_gql.opened(auth) as session:
        with expect(exterview, logins=1), pytest.raises(TransportConnectionFailed) as caught:
            await session.execute(QUERY)
    assert isinstance(caught.value.__cause__, LoginUnavailableError)
    assert caught.value.__cause__.retry_after == 3600
