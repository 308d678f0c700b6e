"""The exceptions that rcfail raises on purpose, each with its exit code and a hint.

    RcfailError
      UsageFault         64  the command line cannot be carried out as written
      ConfigFault        78  a file or an environment variable that the user set is wrong
      CannotSee           3  not enough of the cluster could be seen to tell
      Refused            10  a check said no; nothing was sent
      Declined           65  the operator said no, or nobody could be asked
      LabFault           70  a practice cluster could not be made, broken or ended as asked
      OutOfTime          16  a condition did not come true within its bound

A message is one line, lower case, without a final stop; the hint is a sentence that names the
next command.
"""

from __future__ import annotations

from typing import ClassVar

from rcfail.exits import ExitCode


class RcfailError(Exception):
    """A failure that the user is told in one line and a hint."""

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL
    code: ClassVar[str] = "internal"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageFault(RcfailError):
    """The command line cannot be carried out as written."""

    exit_code = ExitCode.USAGE
    code = "usage"


class ConfigFault(RcfailError):
    """A file or an environment variable that the user set is wrong."""

    exit_code = ExitCode.CONFIG
    code = "config"


class CannotSee(RcfailError):
    """Not enough of the cluster could be seen to tell."""

    exit_code = ExitCode.UNKNOWN
    code = "cannot-see"


class Refused(RcfailError):
    """A check said no; nothing was sent."""

    exit_code = ExitCode.REFUSED
    code = "refused"


class Declined(RcfailError):
    """The operator said no, or nobody could be asked; nothing was sent."""

    exit_code = ExitCode.DECLINED
    code = "declined"


class LabFault(RcfailError):
    """A practice cluster could not be made, broken or ended as asked."""

    exit_code = ExitCode.INTERNAL
    code = "lab"


class OutOfTime(RcfailError):
    """A condition did not come true within its bound."""

    exit_code = ExitCode.TIMEOUT
    code = "timeout"
