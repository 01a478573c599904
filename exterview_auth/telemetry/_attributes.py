"""Names of OpenTelemetry's side: the scope of all metrics and spans, and the attributes that say what they are about."""

from __future__ import annotations

SCOPE = "exterview_auth"
SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
"""The version of OpenTelemetry's semantic conventions that the names of attributes are from."""

ACCOUNT_NAME = f"{SCOPE}.account.name"
REASON = f"{SCOPE}.login.reason"
OPERATION = f"{SCOPE}.store.operation"
ERROR_TYPE = "error.type"
RESEND_COUNT = "http.request.resend_count"


def name_attribute(name: str | None) -> dict[str, str]:
    """Return the attribute that says of whom it is, if the observation has a name."""
    return {} if name is None else {ACCOUNT_NAME: name}


def error_attribute(error: str | None) -> dict[str, str]:
    """Return the attribute that says why something failed, which by the conventions is there only then."""
    return {} if error is None else {ERROR_TYPE: error}
