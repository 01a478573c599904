"""
Tokens in Redis, for the processes of a fleet.

An account has two keys, ``{namespace}:{hash}:token`` and ``:lock``, and one channel, ``:news``. The braces put them into one
slot of a cluster.

``store.py`` is what users construct; it loads without redis-py, so that the error can name the extra. ``client.py`` has one
client for each event loop and process, and leaves a server that became a replica. ``entries.py`` reads and replaces entries, each
in one script and by Redis' own clock.
``backend.py`` makes redis-py's lock an `AccountLock`: the owner renews its lease, and a release or a save wakes the waiters by
publishing ``free`` or ``saved``. ``notifications.py`` receives these messages on one connection for all waiters of a process.
``errors.py`` bounds each command and says what went wrong without quoting what was sent.
"""
