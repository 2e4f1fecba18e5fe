"""SIGINT and SIGTERM as something a command does, instead of its end. `apply`, `vm` and `run` call it."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals(handler: Callable[[], object], *, once: bool = False) -> Iterator[None]:
    """SIGINT and SIGTERM call the handler while the block runs; once: a second one ends the process as usual."""
    loop = asyncio.get_running_loop()

    def restore() -> None:
        for number in NUMBERS:
            loop.remove_signal_handler(number)

    def first() -> None:
        restore()
        handler()

    for number in NUMBERS:
        loop.add_signal_handler(number, first if once else handler)
    try:
        yield
    finally:
        restore()
