"""From the place of a password to the password. Nothing here prints it or puts it into a message."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Mapping

from rcfail.errors import ConfigFault, UsageFault
from rcfail.pipes import read_file
from rcfail.settings.sections import SecretKind, SecretSource

_LONGEST_BYTES = 4096
_READABLE_BY_OTHERS = stat.S_IRGRP | stat.S_IROTH


def read_secret(source: SecretSource, env: Mapping[str, str], ask: Callable[[], str] | None = None) -> str | None:
    """The password, or None where none was set. Raises ConfigFault or UsageFault."""
    match source.kind:
        case SecretKind.NONE:
            return None
        case SecretKind.ENVIRONMENT:
            if not (password := env.get(source.name)):
                raise ConfigFault(
                    f"the variable {source.name}, which should hold the password, is not set", f"Set {source.name}."
                )
            return password
        case SecretKind.FILE:
            return _from_file(source.name)
        case SecretKind.PROMPT:
            return (ask or _from_terminal)()


def secret_notes(source: SecretSource) -> tuple[str, ...]:
    """What the user should know about the place, such as that other users can read the file."""
    if source.kind is not SecretKind.FILE:
        return ()
    try:
        mode = os.stat(source.name).st_mode
    except OSError:
        return ()
    if stat.S_ISREG(mode) and mode & _READABLE_BY_OTHERS:
        return (f"other users can read the password file {source.name}: chmod 600 {source.name}",)
    return ()


def key_notes(path: str | None) -> tuple[str, ...]:
    """The same of the key of our certificate."""
    try:
        mode = os.stat(path).st_mode if path else 0
    except OSError:
        return ()
    if stat.S_ISREG(mode) and mode & _READABLE_BY_OTHERS:
        return (f"other users can read the key {path}: chmod 600 {path}",)
    return ()


def _from_file(path: str) -> str:
    try:
        raw = read_file(path, _LONGEST_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigFault(f"password file {path}: {reason}", "Name a file that holds only the password.") from None
    # An editor ends the last line; a password that really ends with a newline is not known to exist.
    line = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > _LONGEST_BYTES or "\n" in text:
        raise ConfigFault(
            f"password file {path}: does not hold one line of text", "Write the password, and nothing else, into it."
        )
    return text


def passphrase_asker() -> Callable[[str], str | None] | None:
    """Asks for the passphrase of a key on the terminal; None where there is none, or a shell completes a line."""
    if sys.stdin is None or not sys.stdin.isatty() or "_RCFAIL_COMPLETE" in os.environ:
        return None

    def ask(path: str) -> str | None:
        import getpass

        try:
            return getpass.getpass(f"Passphrase of {path}: ", stream=sys.stderr)
        except (EOFError, UnicodeDecodeError):
            return None

    return ask


def _from_terminal() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise UsageFault(
            "--ask-password needs a terminal to ask on", "Use --password-file FILE, or set RCFAIL_PASSWORD."
        )
    import getpass

    try:
        return getpass.getpass("Password: ", stream=sys.stderr)
    except EOFError:
        raise UsageFault("no password was given", "Type it, or use --password-file FILE.") from None
    except UnicodeDecodeError:
        hint = "Look at the encoding of the terminal, or use --password-file FILE."
        raise UsageFault("what was typed is no text in this terminal's encoding", hint) from None
