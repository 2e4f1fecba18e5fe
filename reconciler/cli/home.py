"""Where `ostler` keeps its things: $OSTLER_HOME, else /var/lib/ostler for root, else the user's data directory."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """The directory of one controller or applier."""

    directory: Path

    @property
    def authorities(self) -> Path:
        """Both certificate authorities; back this up."""
        return self.directory / "pki"

    @property
    def controller(self) -> Path:
        """This applier's own certificate and key."""
        return self.directory / "controller"

    @property
    def store(self) -> str:
        """Journal and history, as a path or URL; losing it loses no data and no safety."""
        return os.environ.get("OSTLER_STORE") or str(self.directory / "store.sqlite")

    @property
    def has_store(self) -> bool:
        """Whether there is a store already; a database server always counts as one."""
        return "://" in self.store or Path(self.store).exists()

    @property
    def lab(self) -> Path:
        """The lab's hosts."""
        return self.directory / "lab"

    @property
    def passes(self) -> Path:
        """Inputs of the last passes, so that a report can be replayed."""
        return self.directory / "passes"


def find_home() -> Home:
    """The home of this invocation; nothing is created."""
    named = os.environ.get("OSTLER_HOME")
    if named:
        return Home(Path(named))
    if os.geteuid() == 0:
        return Home(Path("/var/lib/ostler"))
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
    return Home(Path(base) / "ostler")
