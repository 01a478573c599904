"""``POST /controls/...``: the controls for other processes, with the arguments of the methods as JSON."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from aiohttp import web

from exterview_auth._redaction import MAX_QUOTE
from exterview_auth.errors import ConfigurationError

from ._controls import Controls
from ._local_only import json_arguments
from ._responses import Refusal, json_response

NOT_STORED = {"Cache-Control": "no-store"}


class ControlPaths:
    """The controls of one emulator by the last step of their path."""

    def __init__(self, controls: Controls) -> None:
        methods = (
            *(controls.revoke, controls.expire, controls.rotate_api_key, controls.fail_logins, controls.refuse),
            *(controls.silence, controls.latency, controls.login_delay, controls.token_lifetime, controls.answer),
            controls.reset,
        )
        self._methods: dict[str, Callable[..., Any]] = {one.__name__.replace("_", "-"): one for one in methods}

    async def use(self, request: web.Request) -> web.Response:
        """Use the control and answer with its name; a rotated key is the one thing that it has to tell."""
        name = request.match_info["control"]
        control = self._methods.get(name)
        if control is None:
            raise Refusal(404, f"There is no such control; there are {', '.join(self._methods)}")
        arguments = await json_arguments(request)
        _check_names(name, control, arguments)
        try:
            result = control(**arguments)
        except ConfigurationError as error:
            raise Refusal(400, _shortened(str(error))) from None
        return json_response(
            {"control": name} if result is None else {"control": name, "api_key": result}, headers=NOT_STORED
        )


def _check_names(name: str, control: Callable[..., Any], arguments: dict[str, Any]) -> None:
    """Raise the 400 for an argument that the control does not have, and for one that it needs."""
    parameters = inspect.signature(control).parameters
    needed = {one.name for one in parameters.values() if one.default is inspect.Parameter.empty}
    if not arguments.keys() <= parameters.keys():
        only = f"{', '.join(parameters)}, and nothing else" if parameters else "no arguments"
        raise Refusal(400, f"{name} takes {only}")
    if missing := [one for one in parameters if one in needed - arguments.keys()]:
        raise Refusal(400, f"{name} needs {', '.join(missing)}")


def _shortened(sentence: str) -> str:
    """Return *sentence*, which shows the refused value and may be as long as that."""
    return sentence if len(sentence) <= MAX_QUOTE else f"{sentence[: MAX_QUOTE - 1]}…"
