"""Exit codes: the contract with the operator's shell, CI and monitoring. Frozen by a test."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Every code that the process may end with. 0 to 3 are the Nagios codes."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3
    REFUSED = 10
    NOT_DONE = 11
    INCOMPLETE = 12
    LIMIT = 13
    LOCKED = 14
    INDETERMINATE = 15
    TIMEOUT = 16
    USAGE = 64
    DECLINED = 65
    INTERNAL = 70
    CONFIG = 78
    INTERRUPTED = 130


def plugin_code(code: ExitCode) -> ExitCode:
    """The code for a monitoring system: it knows 0 to 3 alone, and every other one tells it nothing."""
    return code if code <= ExitCode.UNKNOWN else ExitCode.UNKNOWN


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "healthy, ready, done and verified, nothing to do, or a dry run that would be allowed",
    ExitCode.WARNING: "serving, but redundancy or automatic failover is impaired; a probe: no",
    ExitCode.CRITICAL: "slots not served or not writable, owners disputed, or no quorum",
    ExitCode.UNKNOWN: "could not see enough to tell (nobody answered, auth refused, not a cluster, deadline)",
    ExitCode.REFUSED: "preflight, guard or observer check said no: nothing was sent",
    ExitCode.NOT_DONE: "sent, but the replica was not promoted",
    ExitCode.INCOMPLETE: "happened in part: moved but not redundant again in time, or a later step did not run",
    ExitCode.LIMIT: "done, but a limit such as --max-gap or --max-loss-bytes was passed",
    ExitCode.LOCKED: "another operator's change is under way",
    ExitCode.INDETERMINATE: "sent, and it cannot be told what happened: look",
    ExitCode.TIMEOUT: "wait: the condition did not come true in time",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.DECLINED: "the operator said no, or nobody could be asked",
    ExitCode.INTERNAL: "a fault in rcfail itself",
    ExitCode.CONFIG: "the configuration is wrong",
    ExitCode.INTERRUPTED: "interrupted before anything was sent",
}
