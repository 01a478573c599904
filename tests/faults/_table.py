"""The fault table: every place, and every fault there, in the order in which they are told."""

from __future__ import annotations

TABLE: dict[str, tuple[str, ...]] = {
    "login endpoint": (
        "connection refused",
        "name not found",
        "TLS refused",
        "reset in the middle of the answer",
        "accepts and never answers",
        "one byte a second",
        *(f"{status} {times}" for status in (429, 500, 502, 503) for times in ("once", "for ever")),
        "400",
        "401",
        "403",
        "200 with GraphQL errors",
        "200 without a token",
        "200 with HTML",
        "an answer of 100 MB",
        "a token with control characters",
        "a token of 1 MB",
        "redirect to another origin",
    ),
    "API": (
        "401 for ever",
        "401 with a body that never ends",
        "401 in mid-upload",
        "401 then close",
        "401 for one operation only",
        "403",
        "400",
        "200 with UNAUTHENTICATED",
        "garbage instead of HTTP",
        "redirect off the origin",
    ),
    "caller": (
        "cancelled at each await of the way",
        "own timeout at each",
        "response never read",
        "session closed under way",
        "10 000 waiting at once",
    ),
    "store": (
        *(
            f"{fault}, {kind}"
            for fault in (
                "absent at the start",
                "value damaged",
                "value truncated",
                "value encrypted with an unknown key",
                "value from a future version",
                "lock held by a dead process",
                "lock held by a paused process",
            )
            for kind in ("file", "Redis")
        ),
        "disk full, file",
        "directory read-only, file",
        "directory removed, file",
        "directory a symlink, file",
        *(
            f"{fault}, Redis"
            for fault in (
                "dies while idle",
                "dies during load",
                "dies during save",
                "dies during lock",
                "stops answering",
                "stops answering for longer than login_timeout",
                "answers in 2 s",
                "FLUSHALL",
                "maxmemory reached",
                "read-only replica",
                "wrong password",
                "connection limit",
                "restart between lock and save",
            )
        ),
    ),
    "process": (
        "kill -9 in the middle of a login, file",
        "kill -9 in the middle of a login, Redis",
        "SIGTERM with waiters",
        "asyncio.run twice with one owner",
        "fork after use",
        "a second loop in another thread",
        "loop closed with a login in flight",
        "machine suspended for an hour",
    ),
    "hooks": (
        *(
            f"{hook} {fault}"
            for hook in ("login", "api_key", "on_token", "is_unauthorized", "body factory", "structlog processor")
            for fault in ("raises", "hangs", "returns nonsense", "cancels", "calls back into the owner")
        ),
        "api_key hangs in a thread",
        *(
            f"body factory {fault} at first"
            for fault in ("raises", "hangs", "returns nonsense", "cancels", "calls back into the owner")
        ),
    ),
}
