"""Seeds that once broke a rule, and what was wrong with the library then: they are run each time."""

from __future__ import annotations

ONCE_FAILED = {
    114: "a token went over while the hook held its waiters up, and was sent all the same",
    2798: "a call that was cancelled before its first step left a coroutine that was never awaited",
    103718: "a flight that was dropped while it waited for a logout to end logged in for nobody",
}
