"""Who we are to a server. A password can be used, but not printed by accident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

HIDDEN = "***"


class Secret:
    """A text that hides itself from repr, str, format, pickle and copies into messages.

    Only `reveal` gives it back, and only what writes it to a socket may call that.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def scrub(self, text: str) -> str:
        """The same text with every copy of this secret hidden."""
        return text.replace(self._text, HIDDEN) if self._text else text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, _: str) -> str:
        return HIDDEN

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not saved")


@dataclass(frozen=True, slots=True)
class Credentials:
    """An ACL user and its password. Without a user the password is the default user's; neither: no AUTH at all."""

    username: str | None = None
    password: Secret | None = None

    @property
    def auth(self) -> tuple[str, ...] | None:
        """The AUTH command with the password in clear, or None where there is nothing to say."""
        if self.password is None:
            return None
        words = ("AUTH", self.username) if self.username else ("AUTH",)
        return (*words, self.password.reveal())


NOBODY = Credentials()
