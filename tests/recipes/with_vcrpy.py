"""
vcrpy: cassettes of the API's answers, with no secret in them.

Install ``vcrpy``. Copy this into ``conftest.py``, and use ``with CASSETTES.use_cassette("jobs.yaml"):`` in tests. To play a
cassette, the variables of ``ExterviewAuth.from_env()`` may have any value. Record again after a change of your queries.
"""

from __future__ import annotations

import re
from typing import Any

import vcr

TOKEN = re.compile(rb'("(?:\w*token|jwt)":\s*")[^"]+', re.IGNORECASE)


def without_login(request: Any) -> Any:
    """Return *request*; a login without e-mail and password."""
    if isinstance(request.body, bytes) and b'"password"' in request.body:
        request.body = b"a login"
    return request


def without_token(response: dict[str, Any]) -> dict[str, Any]:
    """Return *response* with its token masked, and without cookies."""
    body = response["body"].get("string", b"")
    kept = {name: value for name, value in response["headers"].items() if name.lower() != "set-cookie"}
    return {**response, "headers": kept, "body": {"string": TOKEN.sub(rb"\1masked", body)}}


CASSETTES = vcr.VCR(
    # vcrpy looks at a request before this library signs it, but at a hop of a redirect afterwards.
    filter_headers=["authorization", "x-api-key"],
    before_record_request=without_login,
    before_record_response=without_token,
    # All GraphQL requests go to one address: without the body, each would match each.
    match_on=("method", "scheme", "host", "port", "path", "query", "body"),
)
