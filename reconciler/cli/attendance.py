"""Which hosts have not answered yet, on a terminal, while they are being asked: a silent one is waited for."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from rich.console import Console
from rich.text import Text

from nodeagent.wire.facts import HostState
from reconciler.agentlink.gathering import GatherLimits
from reconciler.agentlink.protocol import AgentLink, AgentLinkError, Fleet, HostUnreachableError
from reconciler.cli.nearness import listed

PATIENCE_S = 1.5
"""How long an answer may take without a word about it."""
GRACE_S = GatherLimits().grace_ms // 1000


@contextmanager
def looking(fleet: Fleet) -> Iterator[Fleet]:
    """The fleet to ask while the block runs; on a terminal a line on stderr tells who has not answered, elsewhere
    nothing is said."""
    console = Console(file=sys.stderr, no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    if not console.is_terminal:
        yield fleet
        return
    attendance = Attendance(fleet, time.monotonic)
    with console.status(attendance):
        yield attendance.fleet


class Attendance:
    """A fleet, and who of it has answered since this was made. clock: seconds."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float]) -> None:
        self.fleet: Fleet = {
            name: cast(AgentLink, _HeededLink(link, self._heard(name))) for name, link in fleet.items()
        }
        self._missing = set(fleet)
        self._clock = clock
        self._began_s = clock()

    def _heard(self, name: str) -> Callable[[], None]:
        return lambda: self._missing.discard(name)

    def line(self) -> str:
        """What is going on."""
        count = len(self.fleet)
        elapsed_s, missing = self._clock() - self._began_s, sorted(self._missing)
        if elapsed_s < PATIENCE_S:
            return f"asking {count} host{'' if count == 1 else 's'}"
        if not missing:
            return "all hosts have answered, reading storage"
        who = f"{listed(missing)} {'has' if len(missing) == 1 else 'have'} not answered"
        if elapsed_s > GRACE_S:
            return f"{who}, reading storage"
        return f"{who} yet, waiting up to {GRACE_S} s ({elapsed_s:.0f} s)"

    def __rich__(self) -> Text:
        """The line for the terminal, as it is at that moment."""
        return Text(self.line(), overflow="ellipsis", no_wrap=True)


class _HeededLink:
    """A link that tells when its host has answered, whatever it said; in all else the link itself."""

    def __init__(self, link: AgentLink, heard: Callable[[], None]) -> None:
        self._link = link
        self._answered = heard

    async def state(self, known: HostState | None = None, *, fresh: bool = False) -> HostState | None:
        try:
            found = await self._link.state(known, fresh=fresh)
        except HostUnreachableError:
            raise
        except AgentLinkError:
            self._answered()
            raise
        self._answered()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)
