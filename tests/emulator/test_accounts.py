"""The memory for tokens is bounded."""

from __future__ import annotations

import pytest

from exterview_auth.emulator import _accounts
from exterview_auth.emulator._accounts import Accounts, RefreshTokens
from exterview_auth.emulator._responses import Refusal


def test_the_oldest_tokens_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many logins come, the memory for tokens is bounded."""
    monkeypatch.setattr(_accounts, "MOST_TOKENS", 2)
    accounts = Accounts("a@b.example", clock=lambda: 0.0)
    first, *others = [accounts.issue_token(1.0) for _ in range(3)]
    with pytest.raises(Refusal, match="Invalid bearer token"):
        accounts.require_token(first)
    for token in others:
        accounts.require_token(token)


def test_the_oldest_credentials_are_hidden_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory for what texts are searched for is bounded, too."""
    monkeypatch.setattr(_accounts, "MOST_ISSUED", 2)
    accounts = Accounts("a@b.example", clock=lambda: 0.0)
    issued = [accounts.issue_token(1.0), accounts.issue_refresh_token(), accounts.issue_token(1.0)]
    assert [accounts.shown_in(one, 80) for one in issued] == [False, True, True]


def test_a_short_key_hides_no_word() -> None:
    """A key of three letters is part of many names by chance; one that was replaced is no different."""
    accounts = Accounts("a@b.example", clock=lambda: 0.0)
    accounts.adopt("key", None, None)
    assert not accounts.shown_in("GetKeyword_key", 80)
    accounts.rotate_api_key()
    assert not accounts.shown_in("GetKeyword_key", 80)


def test_the_oldest_refresh_tokens_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A used token goes quietly, and an unused one takes its family along."""
    monkeypatch.setattr(_accounts, "MOST_REFRESH_TOKENS", 2)
    tokens = RefreshTokens()
    first = tokens.issue()
    second = tokens.rotate(first)
    assert second is not None
    other = tokens.issue()  # forgets the first one, which was used
    assert tokens.rotate(first) is None
    assert tokens.reused == 0
    tokens.issue()  # forgets the second one, which was not
    assert tokens.rotate(second) is None
    assert tokens.rotate(other) is not None
