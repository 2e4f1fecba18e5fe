"""How many orders and migrations each host has under way, counted over all plans that run at the same time.

`ready` looks before it starts a step; plans that run beside each other count in one `Slots`, and each is woken when
another one's step ends.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class Slots:
    """Counts by host object id. orders, migrations: under way now."""

    def __init__(self) -> None:
        self.orders: Counter[str] = Counter()
        self.migrations: Counter[str] = Counter()
        self._watching: list[asyncio.Event] = []  # woken in the order in which they came

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not any(self.orders.values())

    def count(self, host: str, ends_of_migration: Iterable[str], change: int) -> None:
        """A step on a host begins (1) or ends (-1); ends_of_migration: both hosts, if it is one."""
        self.orders[host] += change
        for end in ends_of_migration:
            self.migrations[end] += change
        if change < 0:
            for event in self._watching:
                event.set()

    @contextmanager
    def watched(self) -> Iterator[asyncio.Event]:
        """An event that is set whenever a step of any plan ends, while the block runs; the caller clears it."""
        event = asyncio.Event()
        self._watching.append(event)
        try:
            yield event
        finally:
            self._watching.remove(event)
