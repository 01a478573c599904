"""How the command ends."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees."""

    FINE = 0
    FAILED = 1
    """The check failed, there is no token, or a request of the demo failed."""
    WRONG_USE = 2
    """The command line or the configuration is to be changed; nothing was sent."""
    INTERRUPTED = 130
    """Ctrl-C: 128 and the signal's number, as shells count."""
