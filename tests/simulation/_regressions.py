"""Seeds that once broke a rule, and what the library did wrong then: every test run repeats them."""

from __future__ import annotations

REGRESSIONS = {
    114: "a token expired while the hook delayed its waiters, and was sent all the same",
    2798: "a call that was cancelled before its first step left a coroutine that was never awaited",
    103718: "a flight that was dropped while it waited for a logout to end logged in for nobody",
}
