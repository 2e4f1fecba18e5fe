"""What every operation is, and what it may use of its host.

The order engine calls `check` (refuse before anything is done), `run` (act, through drivers), `verify`
(read back), and `recover` after a restart of the agent in the middle of `run`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from nodeagent.wire.orders import Evidence, Progress

A = TypeVar("A")


class OperationError(Exception):
    """An operation failed. `action` says who must do what; `settled` is False if the outcome is not known."""

    def __init__(self, summary: str, action: str = "", *, settled: bool = True) -> None:
        super().__init__(summary)
        self.summary = summary
        self.action = action
        self.settled = settled


class Control(Protocol):
    """The running order as its operation sees it: cancellation, time left, progress, secrets, evidence."""

    key: str
    evidence: Evidence | None
    secrets: dict[str, str]
    secret_digests: dict[str, str]

    def cancelled(self) -> bool:
        """Whether a revocation with cancel, or the timeout, asks the operation to stop and clean up."""
        ...

    def remaining_ms(self) -> int:
        """Milliseconds until the order's timeout."""
        ...

    def report(self, progress: Progress) -> None:
        """Make progress visible to whoever follows the order."""
        ...

    def note(self, key: str, value: Any) -> None:
        """Keep a fact durably in the ledger, for `recover` (for example that a migration job was begun)."""
        ...

    def noted(self) -> dict[str, Any]:
        """What `note` has kept for this order."""
        ...


@dataclass(frozen=True, slots=True)
class HostPaths:
    """Where the agent keeps things. mounts: below it, one directory a storage domain. tpm_state: below it, libvirt keeps
    one directory for each guest with a TPM. root: where this process sees the host's own files."""

    state: Path
    mounts: Path
    firmware_code: Path = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
    firmware_vars: Path = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
    console_logs: Path = Path("/var/log/ostler/console")
    tpm_state: Path = Path("/var/lib/libvirt/swtpm")
    root: Path = Path("/")


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """The four functions of an order kind. Each takes the host's access object first (see `nodeagent.host.Host`).

    check: text of a refusal, or None. run: outputs of the result; raises OperationError. verify: what differs
    from the wish, or None. recover: True if found done, False if found not done, None if it cannot be told.
    """

    kind: str
    check: Callable[[Any, A], str | None]
    run: Callable[[Any, A, Control], dict[str, Any]]
    verify: Callable[[Any, A], str | None]
    recover: Callable[[Any, A, Control], bool | None]
    locks: Callable[[A], tuple[str, ...]] = field(default=lambda _arguments: ())
