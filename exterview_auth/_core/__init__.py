"""
What decides: which request gets which token, and when to log in. It knows no network library.

A request that finds a usable token in the `state` needs nothing else. Any other asks the `keeper`: it joins the single
flight, or starts it, in one synchronous step. The flight runs a `renewal`, which asks `acquisition`: did another process
save a newer token? If not, this owner takes the account's lock and runs one `login`, with retries, unless the `limits`
forbid it.

The new token is installed in the state, saved (`saving`), given to the application's `on_token`, and then the waiters
wake. In this order: a request that arrives now must not wait for the store, and a waiter must not outrun the save of a
refresh token that the server has already rotated. After each of these awaits the flight checks that it is still current:
a logout, a close or another event loop has taken it out in the meantime.

The API *refuses* one request with its token. A token is *rejected* when that means that nobody should use it any more:
only a refusal of the current token does that, and only once. A refusal of an older one means that the request is sent
again with the current token. The login belongs to nobody: it runs in a separate task, so that cancelling any request, the
first one too, changes nothing for the others.

The `schedule` starts the same renewal before expiry, if a request used the token. The `lifecycle` refuses every use of a
closed owner and of one that another running event loop uses; after a loop has ended, or in the child of a fork, the owner
goes on where it is. While a logout runs, the next login waits for it.

Each login gives one `LoginRecord` when it ends. Counters, events, ``on_login`` (`on_login`) and telemetry get it from the
account's `Feed` (`_records`), which also hears of requests that wait, and costs nothing while nobody listens.

Every part takes the same record, `account`: the name, options, clock and counters of one owner. The `api_key` is read
again at each login, because it may have been rotated.
"""
