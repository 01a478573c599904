"""
The GraphQL half of the emulator, on graphql-core.

A request arrives at `endpoint`, as JSON or as a multipart request with files. It becomes a `GraphQLRequest`: a document,
which `documents` parses and validates once however often it is sent, with variables and the name of one operation. The
operation's root fields decide what the request needs: a login needs no bearer token and is counted and delayed like every
login, a subscription needs a WebSocket, all else needs a bearer token.

The engine then executes the document against `schema` (`schema.graphql` beside it), whose fields are tied to the functions
in `resolvers`. Every resolver gets the emulator's state as the context.

`websocket` speaks graphql-transport-ws. It runs the same operations, subscriptions among them, many at once on one
connection.
"""
