"""
The aiohttp side: a request and its answer, and the login's own session. What is private of aiohttp is in `internals` alone.

A request enters through `ExterviewAuth` (a client middleware) or `AuthSession`, once per redirect hop. `origins` says
whose request it is: ours, a stranger's, or a hop that leads from us to a stranger, which loses the credentials. Only
aiohttp knows where a redirect leads, so `chains` remembers where each redirected call began. A call that began at a
stranger is never signed.
`signing` puts the credentials on it, and the `middleware` passes it on.

While the request queues for a connection, or its body is being made, its token may change. Then `queued` signs it again just
before it is written, or sends it back to wait. Waiting itself is cheap before aiohttp has created the request: `early_wait`
does that for `AuthSession`, where nobody can notice.

A request that has waited draws its cookies anew (`cookies`): a login may have renewed them.

When the answer comes, `refusal` decides whether it refuses the token. If it does, its connection is given back before
anything waits, the core's keeper replaces the token, and the request is sent again with its body whole (`bodies`). What
cannot be sent twice, or would not help, comes back to the caller as the server sent it. `graphql` knows GraphQL's own way
to refuse, and which answers must not be asked for twice; `graphql_request` writes what is asked, and `echoes` takes out of
aiohttp's errors what a server repeats.

`login_call` is the other direction: it calls the application's login with a session on separate connections, because a
login that queued behind the requests that wait for it would never end. `login_request` holds each request of it to its origin.
"""
