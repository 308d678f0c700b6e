"""The machine's clock: a sleep ends when somebody wants it to end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rcfail.clock import SystemClock

ONE_SIGNAL_WITHIN_THE_OTHER = """
import ctypes, functools, os, signal, threading
from rcfail.clock import SystemClock

kill = ctypes.CDLL(None).kill
kill.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.py_object]
# As a C function it ends without another look for signals, as a handler does that is in its last instructions.
signal.signal(signal.SIGWINCH, functools.partial(kill, os.getpid(), signal.SIGINT))
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGWINCH)).start()
try:
    SystemClock().sleep(3600)
except KeyboardInterrupt:
    print("woken")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library is called by the names that it has on Linux")
def test_a_signal_that_comes_while_another_ones_handler_ends_wakes_a_sleep() -> None:
    """Else Ctrl-C just after the terminal has changed its size is heeded when the sleep is over: in an hour."""
    ran = subprocess.run(
        [sys.executable, "-c", ONE_SIGNAL_WITHIN_THE_OTHER], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr) == ("woken\n", "")


@pytest.mark.parametrize("seconds", [0.0, -1.0, 0.02, 0.7])
def test_a_sleep_is_as_long_as_it_should_be(seconds: float) -> None:
    clock = SystemClock()
    began_s = clock.monotonic_s()
    clock.sleep(seconds)
    assert clock.monotonic_s() - began_s >= seconds
