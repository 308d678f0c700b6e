"""What every test stands on: a plain terminal, and in CI no test that quietly does not run."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings

# How long an example takes tells of the machine only. CI repeats the same examples, so a failure there is news.
settings.register_profile("rcfail", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("rcfail")


# Whoever starts this with nohup, or in the background of a script, has these ignored, and every process below too: a
# test that sends one could then not see what it does.
for _number in (signal.SIGHUP, signal.SIGTERM):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--servers",
        choices=("default", "all"),
        default="default",
        help="run the tests marked every_server on every server version that is installed",
    )


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colours, eighty columns, and nothing of the user's own settings."""
    for name in list(os.environ):
        if name.startswith("RCFAIL_") and name not in ("RCFAIL_LAB_HOME", "RCFAIL_TESTS_NO_SKIP"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("REDISCLI_AUTH", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TZ", "UTC")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With RCFAIL_TESTS_NO_SKIP everything that a test may need is installed, so a skip is a failure."""
    report = yield
    if os.environ.get("RCFAIL_TESTS_NO_SKIP") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report
