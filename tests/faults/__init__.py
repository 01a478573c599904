"""The fault table, played: for each place a module of scenarios, and one row for each fault."""

from ._api import ROWS as API
from ._caller import ROWS as CALLER
from ._hooks import ROWS as HOOKS
from ._login_endpoint import ROWS as LOGIN_ENDPOINT
from ._process import ROWS as PROCESS
from ._row import Outcome, Row
from ._stage import SECRETS, Got, Stage
from ._store_file import ROWS as STORE_FILE
from ._store_redis import ROWS as STORE_REDIS

ROWS = (*LOGIN_ENDPOINT, *API, *CALLER, *STORE_FILE, *STORE_REDIS, *PROCESS, *HOOKS)

__all__ = ["ROWS", "SECRETS", "Got", "Outcome", "Row", "Stage"]
