"""Log lines: one event a line on stderr, `level logger: message`, with tracebacks folded into their line.

systemd's journal adds time and unit. Nothing that may hold a secret is ever given to a logger.
"""

import logging
import sys

_PRIORITY = {
    logging.DEBUG: "<7>",
    logging.INFO: "<6>",
    logging.WARNING: "<4>",
    logging.ERROR: "<3>",
    logging.CRITICAL: "<2>",
}


class LineFormatter(logging.Formatter):
    """One line a record; under systemd with the priority in front that the journal understands."""

    def __init__(self, for_journal: bool) -> None:
        time = "" if for_journal else "%(asctime)s.%(msecs)03d "
        super().__init__(f"{time}%(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line = super().format(record).replace("\n", " | ")
        return _PRIORITY.get(record.levelno, "<5>") + line if self._for_journal else line


def set_up_logging(for_journal: bool, level: int = logging.INFO) -> None:
    """Send everything from `level` on to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(for_journal))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
