"""A flag wins over a variable, a variable over the named cluster; and each value remembers where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from rcfail.errors import ConfigFault, RcfailError, UsageFault

if TYPE_CHECKING:
    from rcfail.settings.load import Flags

_YES = frozenset({"1", "yes", "true", "on"})
_NO = frozenset({"0", "no", "false", "off"})


@dataclass(frozen=True, slots=True)
class NamedCluster:
    """One cluster of the config file. `values` by key, those of the tls table as `tls.KEY`, checked and converted."""

    name: str = ""
    path: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return f"cluster {self.name} in {self.path}"


NO_CLUSTER = NamedCluster()


class Picked(NamedTuple):
    """A value, where it came from in the user's words, and what to raise when it is wrong."""

    value: Any
    origin: str = ""
    fault: type[RcfailError] = ConfigFault


NOTHING = Picked(None)


class Layers:
    """The three places of a setting. `origins` grows with every value that was picked."""

    def __init__(self, flags: Flags, env: Mapping[str, str], named: NamedCluster = NO_CLUSTER) -> None:
        self.flags = flags
        self.env = env
        self.named = named
        self.origins: dict[str, str] = {}

    def flag(self, value: Any, name: str) -> Picked:
        """An empty text is a value, and a wrong one: a script whose variable is empty must not mean another cluster."""
        return NOTHING if value is None or value is False or value == () else Picked(value, name, UsageFault)

    def variable(self, name: str) -> Picked:
        value = self.env.get(name, "").strip()
        return Picked(value, name) if value else NOTHING

    def truth(self, name: str) -> Picked:
        """A variable that says yes or no. Raises ConfigFault."""
        found = self.variable(name)
        if found is NOTHING:
            return NOTHING
        said = found.value.lower()
        if said not in _YES | _NO:
            raise ConfigFault(f"{name} is neither yes nor no", f"Write it as {name}=1 or {name}=0.")
        return Picked(said in _YES, name)

    def kept(self, key: str) -> Picked:
        """What the named cluster says."""
        value = self.named.values.get(key)
        return Picked(value, self.named.origin) if value is not None else NOTHING

    def pick(self, key: str, *places: Picked) -> Picked:
        """The first that is set; its origin is remembered under the key."""
        for place in places:
            if place.value is not None:
                self.origins[key] = place.origin
                return place
        return NOTHING

    def text(self, key: str, flag: str, variable: str, value: str | None) -> str | None:
        """A plain text of all three places."""
        found = self.pick(key, self.flag(value, flag), self.variable(variable), self.kept(key)).value
        return None if found is None else str(found)
