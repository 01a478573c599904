"""
An embedded server that answers like the Exterview API, to try the library and for tests.

`Emulator` listens on a loopback socket and has the credentials and the controls. `Emulator.stats` returns its counters as
`EmulatorStats`, and `Emulator.journal` each request as a `JournalRecord`.
"""

# How it works. All parts share one `EmulatorState`: the data (`_data`), the accounts with every token (`_accounts`), the faults
# (`_faults`), canned answers (`_answers`), the counters (`_stats`) and the journal (`_journal`).
#
# What happens to a request: `_local_only` lets only this machine in. `_app` finds the handler of its path, opens an exchange in
# which the request is counted and written down, and delays it. The handler asks `_guard` for the API key and the content type,
# and the state for the bearer token, which a login does not need. Then it answers: `_graphql` (queries, mutations, uploads,
# subscriptions over a WebSocket), `_uploads` (resumes in bulk) or `_oauth` (tokens). Whatever is wrong is raised as a `Refusal`
# from where it is noticed; `_app` makes it the response.
#
# Logins come by two ways, the GraphQL mutation and the OAuth token endpoint. Both run inside `EmulatorState.login`, so that
# they are counted, delayed and refused alike.
#
# A fault that a control asks for is kept in `_faults` and takes effect in `_state`, in the one place that all requests, all
# logins, or all requests with valid credentials pass. Nothing else needs to know it. `_controls` has the controls; the methods of
# `Emulator`, the paths of `_control_paths` and the buttons of the page all use them.
#
# `_page` serves the page for people, `_events` streams to it what happens, and `_console` runs its queries. None of this is part
# of the API: nothing counts or delays it.

from importlib.util import find_spec

from exterview_auth._options import needs_extra

# Checked here, for a message that says what to install; the modules below import graphql-core at once.
if find_spec("graphql") is None:
    raise ImportError(needs_extra("the emulator", "graphql-core", "emulator"))

from ._emulator import Emulator
from ._journal import JournalRecord
from ._stats import EmulatorStats

__all__ = ["Emulator", "EmulatorStats", "JournalRecord"]
