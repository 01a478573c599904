"""The fault table, played: for each place a module of scenarios, and one row for each fault."""

from ._api import ROWS as API
from ._body_factory import ROWS as BODY_FACTORY
from ._caller import ROWS as CALLER
from ._hooks import ROWS as HOOKS
from ._login_endpoint import ROWS as LOGIN_ENDPOINT
from ._own_timeout import ROWS as OWN_TIMEOUT
from ._process import ROWS as PROCESS
from ._row import Outcome, Row
from ._stage import SECRETS, Got, Stage
from ._store_file import ROWS as STORE_FILE
from ._store_redis import ROWS as STORE_REDIS
from ._table import TABLE

ROWS = (*LOGIN_ENDPOINT, *API, *CALLER, *OWN_TIMEOUT, *STORE_FILE, *STORE_REDIS, *PROCESS, *HOOKS, *BODY_FACTORY)

__all__ = ["ROWS", "SECRETS", "TABLE", "Got", "Outcome", "Row", "Stage"]
