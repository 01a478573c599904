"""Events are structlog's: through the application's configuration, else masked to the standard logger; they never print."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import Mock

import pytest
import structlog

from exterview_auth import Reason
from exterview_auth._events import emit
from exterview_auth._secret import Secret, SecretBytes

ROOT = Path(__file__).parents[1]


@pytest.fixture
def entries() -> Iterator[list[Any]]:
    """Structlog configured by the application, with what reached its last processor."""
    seen: list[Any] = []

    def keep(logger: Any, method: str, event: Any) -> Any:
        seen.append((method, dict(event)))
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    yield seen
    structlog.reset_defaults()


def test_without_structlogs_configuration_the_standard_logger_is_used(caplog: pytest.LogCaptureFixture) -> None:
    """An installed but unconfigured structlog is not asked, and fields without a value are left out."""
    with caplog.at_level(logging.INFO, logger="exterview_auth"):
        emit(logging.WARNING, "login.failed", attempt=2, error="OSError", retry_after=None, account="acme")
    text = "login.failed account='acme' attempt=2 error='OSError'"
    assert caplog.record_tuples == [("exterview_auth", logging.WARNING, text)]


def test_fields_are_attributes_of_the_log_record(caplog: pytest.LogCaptureFixture) -> None:
    """A filter, or a formatter for JSON, finds them there, the event's name too."""
    with caplog.at_level(logging.INFO, logger="exterview_auth"):
        emit(logging.INFO, "token.issued", account="acme", seconds=0.25)
    (record,) = caplog.records
    found = {name: vars(record)[name] for name in ("event", "account", "seconds")}
    assert found == {"event": "token.issued", "account": "acme", "seconds": 0.25}
    assert (record.module, record.funcName) == ("test_events", "test_fields_are_attributes_of_the_log_record")


def test_what_the_applications_factory_puts_on_its_log_records_stays(caplog: pytest.LogCaptureFixture) -> None:
    """It gets a whole record, and an attribute of the same name, which logging refuses to replace, costs no event."""
    make = logging.getLogRecordFactory()

    def factory(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        record.account, record.package = "the application's", record.name.rpartition("_")[0]
        return record

    logging.setLogRecordFactory(factory)
    try:
        with caplog.at_level(logging.INFO, logger="exterview_auth"):
            emit(logging.INFO, "token.issued", account="acme", seconds=0.25)
    finally:
        logging.setLogRecordFactory(make)
    (record,) = caplog.records
    found = {name: vars(record)[name] for name in ("account", "package", "seconds")}
    assert found == {"account": "the application's", "package": "exterview", "seconds": 0.25}
    assert record.getMessage() == "token.issued account='acme' seconds=0.25"


MASKED = {
    "a secret by its type": ({"key": Secret("s3cret")}, "key='***'"),
    "bytes by their type": ({"body": SecretBytes(b"s3cret")}, "body='***'"),
    "a name that says it": ({"api_key": "s3cret", "refresh_token": b"s3cret"}, "api_key='***' refresh_token='***'"),
    "a bearer in a text": ({"hint": "sent Bearer s3cret-s3cret-s3cret to it"}, "hint='sent Bearer *** to it'"),
    "a JWT": ({"hint": "eyJhbGciOiJIUzI1NiJ9.s3cret.x is dead"}, "hint='*** is dead'"),
    "a password in a URL": ({"server": "redis://me:s3cret@host:6379"}, "server='redis://***@host:6379'"),
    "an assignment": ({"problem": "password=s3cret&user=me"}, "problem='password=***&user=me'"),
    "no bytes but those": ({"body": b"abc"}, "body=b'abc'"),
    "nothing else": ({"expires_in": 60.0, "hint": "a token, a password"}, "expires_in=60.0 hint='a token, a password'"),
}


@pytest.mark.parametrize(("fields", "shown"), MASKED.values(), ids=MASKED)
def test_what_looks_like_a_secret_is_masked(
    fields: dict[str, Any], shown: str, caplog: pytest.LogCaptureFixture, entries: list[Any]
) -> None:
    """The seat belt, in the message, in the record's attributes, and for the application's own processors."""
    emit(logging.INFO, "login.failed", **fields)
    structlog.reset_defaults()
    with caplog.at_level(logging.INFO, logger="exterview_auth"):
        emit(logging.INFO, "login.failed", **fields)
    assert caplog.messages == [f"login.failed {shown}"]
    assert "s3cret" not in str(vars(caplog.records[0]))
    (method, event) = entries.pop()
    assert (method, event.pop("event")) == ("info", "login.failed")
    assert " ".join(f"{name}={value!r}" for name, value in event.items()) == shown


def test_a_level_that_nobody_asked_for_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    """Below the logger's level nothing is formatted, so that not even a field's repr runs."""
    told: list[str] = []

    class Untold:
        def __repr__(self) -> str:
            told.append("formatted")
            return "field"

    with caplog.at_level(logging.WARNING, logger="exterview_auth"):
        emit(logging.INFO, "login.begun", field=Untold())
        emit(logging.WARNING, "login.failed", field=Untold())
    assert caplog.messages == ["login.failed field=field"]
    assert told == ["formatted"]


def test_a_percent_sign_in_an_event_is_text(caplog: pytest.LogCaptureFixture) -> None:
    """Event and fields are arguments of the record, never its format."""
    with caplog.at_level(logging.INFO, logger="exterview_auth"):
        emit(logging.INFO, "100%s", share="5%d")
    assert caplog.messages == ["100%s share='5%d'"]


def test_a_configured_structlog_gets_the_event_alone(entries: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    """Where the application configured structlog, it gets level, event and fields, and the logger nothing."""
    with caplog.at_level(logging.DEBUG, logger="exterview_auth"):
        emit(logging.WARNING, "store.failed", call="load", account="acme", error=None)
    assert entries == [("warning", {"event": "store.failed", "call": "load", "account": "acme"})]
    assert caplog.records == []


WRAPPERS = [
    structlog.BoundLogger,
    structlog.stdlib.BoundLogger,
    structlog.stdlib.AsyncBoundLogger,
    structlog.make_filtering_bound_logger(logging.INFO),
]


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=lambda wrapper: wrapper.__name__)
async def test_any_kind_of_structlogs_loggers_will_do(wrapper: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The application chooses the class of its loggers, and one for asyncio leaves nothing to await."""
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        wrapper_class=wrapper,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    try:
        with caplog.at_level(logging.INFO, logger="exterview_auth"):
            emit(logging.WARNING, "login.failed", account="acme")
    finally:
        structlog.reset_defaults()
    (record,) = caplog.records
    assert (record.name, record.levelno, record.getMessage()) == ("exterview_auth", logging.WARNING, "login.failed")
    assert vars(record)["account"] == "acme"


def test_a_factory_that_takes_no_name_will_do() -> None:
    """Whoever configures structlog may leave out what its own loggers are called with."""

    class Logger:
        """Collects what it is called with."""

        heard: ClassVar[list[Any]] = []

        def warning(self, **event: Any) -> None:
            self.heard.append(event)

    def make() -> Logger:
        return Logger()

    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs], wrapper_class=structlog.BoundLogger, logger_factory=make
    )
    try:
        emit(logging.WARNING, "login.failed", account="acme")
    finally:
        structlog.reset_defaults()
    assert [event["msg"] for event in Logger.heard] == ["login.failed"]


async def test_a_logger_of_coroutines_is_not_left_unawaited(caplog: pytest.LogCaptureFixture) -> None:
    """An application's own class, of which nothing else is known: the event goes to the standard logger."""

    class Asynchronous(structlog.BoundLogger):
        async def info(self, event: str, **fields: Any) -> None:
            raise AssertionError("nobody awaits this")

        warning = info

    structlog.configure(wrapper_class=Asynchronous)
    try:
        with caplog.at_level(logging.INFO, logger="exterview_auth"):
            emit(logging.WARNING, "login.failed", account="acme")
    finally:
        structlog.reset_defaults()
    assert caplog.messages == ["login.failed account='acme'"]


@pytest.mark.parametrize(
    "failure", [RuntimeError("no"), asyncio.CancelledError(), GeneratorExit()], ids=["raises", "cancels", "exits"]
)
def test_what_a_processor_raises_is_contained(failure: BaseException) -> None:
    """A processor that raises or cancels does not break a request."""

    def broken(logger: Any, method: str, event: Any) -> Any:
        raise failure

    structlog.configure(processors=[broken])
    try:
        emit(logging.WARNING, "login.failed")
    finally:
        structlog.reset_defaults()


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_program_is_not_contained(end: type[BaseException]) -> None:
    """Ctrl-C while a processor works ends the program."""

    def interrupted(logger: Any, method: str, event: Any) -> Any:
        raise end

    structlog.configure(processors=[interrupted])
    try:
        with pytest.raises(end):
            emit(logging.WARNING, "login.failed")
    finally:
        structlog.reset_defaults()


def test_what_a_handler_raises_is_contained(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logging handler that raises does not break a request."""
    handler = Mock(level=logging.NOTSET, handle=Mock(side_effect=RuntimeError("no disk")))
    monkeypatch.setattr(logging.getLogger("exterview_auth"), "handlers", [handler])
    emit(logging.ERROR, "login.failed")
    handler.handle.assert_called_once()


def output_of(program: str) -> str:
    """Return what a process prints that emits an error event after *program*, and whether it has loaded structlog then."""
    program = f"{program}\nimport sys\nfrom exterview_auth._events import emit\nemit(40, 'login.failed', error='x')"
    loaded = "\nprint('structlog' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program + loaded], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout + done.stderr


TRACKER = """
import logging
def call_handlers(self, record): print(record.getMessage())
logging.Logger.callHandlers = call_handlers
"""
FILTER = "import logging\nlogging.getLogger('exterview_auth').addFilter(lambda record: print(record.getMessage()))"
ALONE = "import logging\nlogging.basicConfig()\nlogging.getLogger('exterview_auth').propagate = False"


@pytest.mark.parametrize(
    ("before", "printed"),
    [
        ("", "False\n"),
        ("import structlog", "True\n"),
        ("import logging\nlogging.basicConfig(level=50)", "False\n"),
        (ALONE, "False\n"),
        (
            "import logging, sys\nlogging.basicConfig(stream=sys.stdout)",
            "ERROR:exterview_auth:login.failed error='x'\nTrue\n",
        ),
        (TRACKER, "login.failed error='x'\nTrue\n"),
        (FILTER, "login.failed error='x'\nTrue\n"),
    ],
    ids=["bare", "structlog unconfigured", "level off", "no handler", "handler", "error tracker", "filter"],
)
def test_structlog_is_loaded_when_somebody_listens(before: str, printed: str) -> None:
    """Where nobody configured logging, not even an error reaches standard output or error, or loads anything."""
    assert output_of(before) == printed


def test_reasons_are_the_words_that_on_token_gets() -> None:
    """A reason is text, and compares with it."""
    assert [str(reason) for reason in Reason] == ["first", "expired", "refused", "ahead"]
    assert all(isinstance(reason, str) for reason in Reason)
