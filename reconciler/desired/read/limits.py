"""The limits that keep hostile manifests bounded in time and memory."""

from typing import Final

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_EVENTS_PER_FILE: Final = 1_000_000
MAX_DEPTH: Final = 64
MAX_FILES: Final = 100_000
MAX_PROBLEMS_PER_FILE: Final = 100
