"""The host's checks for the state document: made in a thread of their own, because some wait for the network."""

import logging
from collections.abc import Callable
from threading import Event, Thread

from nodeagent.wire.facts import CheckFacts

PERIOD_S = 60.0
_LEVELS = {"error": logging.ERROR, "warning": logging.WARNING}

_log = logging.getLogger(__name__)


class PeriodicChecks:
    """The last findings of `run`, which is called once a minute."""

    def __init__(self, run: Callable[[], tuple[CheckFacts, ...]]) -> None:
        self._run = run
        self._listeners: list[Callable[[], None]] = []
        self._stopping = Event()
        self.findings: tuple[CheckFacts, ...] = ()

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever the findings have changed."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Check now, and again and again."""
        Thread(target=self._check, name="checks", daemon=True).start()

    def stop(self) -> None:
        """Check no more."""
        self._stopping.set()

    def _check(self) -> None:
        while not self._stopping.is_set():
            findings = self._run()
            if findings != self.findings:
                for finding in findings:
                    if finding not in self.findings:
                        _log.log(
                            _LEVELS[finding.level],
                            "%s: %s; %s",
                            finding.topic,
                            finding.summary,
                            finding.action,
                        )
                self.findings = findings
                for listener in self._listeners:
                    listener()
            self._stopping.wait(PERIOD_S)
