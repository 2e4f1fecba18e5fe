"""Whether a live migration gets anywhere: its progress as libvirt tells it becomes a reason to give up, or none.

Pure; `vm_migrating` feeds it. A guest that dirties memory faster than the link takes it sends pass after pass of
the same size: what counts is that a pass begins with less than every one before it, and advances while it does.
"""

from dataclasses import dataclass

from nodeagent.drivers.libvirt_values import JobProgress

STEP_BYTES = 1024 * 1024
"""Less than this is not progress."""


@dataclass(slots=True)
class Convergence:
    """stall_ms: so long without progress is a stall; 0 never stalls. timeout_ms: for the whole; 0 is without limit."""

    stall_ms: int
    timeout_ms: int
    _iteration: int = -1
    _least_start: int | None = None
    _lowest: int = 0
    _promising: bool = True
    _progressed_ms: int | None = None
    _began_ms: int | None = None

    def look(self, progress: JobProgress, now_ms: int) -> str | None:
        """Why to give up, None to go on. now_ms: monotonic."""
        if self._began_ms is None or self._progressed_ms is None:
            self._began_ms = self._progressed_ms = now_ms
        if self._advances(progress):
            self._progressed_ms = now_ms
        if self.timeout_ms and now_ms - self._began_ms > self.timeout_ms:
            return f"it took longer than {self.timeout_ms // 1000} s"
        if self.stall_ms and now_ms - self._progressed_ms > self.stall_ms:
            return f"it made no progress for {self.stall_ms // 1000} s: the guest changes memory faster than it moves"
        return None

    def _advances(self, progress: JobProgress) -> bool:
        remaining = progress.remaining_bytes
        if progress.iteration != self._iteration:
            self._iteration = progress.iteration
            self._promising = self._least_start is None or remaining + STEP_BYTES <= self._least_start
            if self._promising:
                self._least_start = remaining
            self._lowest = remaining
            return self._promising
        if self._promising and remaining + STEP_BYTES <= self._lowest:
            self._lowest = remaining
            return True
        return False
