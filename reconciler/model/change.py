"""What must become different, object by object: the step between what is and what is declared.

A change says what, a step says who does it and when. Fields appear only if they are declared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nodeagent.wire.guest import GuestConfig
from nodeagent.wire.records import DiskRecord, PoolRecord, VmRecord
from reconciler.model.quantities import format_bytes

BYTE_FIELDS = frozenset({"vm.memory", "vm.maxMemory", "vm.guaranteedMemory", "disk.size"})


class Effect(StrEnum):
    """What a change of a field does; the table is `diffing.fields`."""

    LIVE = "live"
    NEXT_START = "next-start"
    MIGRATE = "migrate"
    REFUSE = "refuse"
    OBSERVE_ONLY = "observe-only"


class Disruption(StrEnum):
    """What the guest or its data will feel, mildest first."""

    NONE = "none"
    LIVE_MIGRATE = "live-migrate"
    PAUSE = "pause"
    RESTART = "restart"
    POWER_OFF = "power-off"
    DATA_LOSS = "data-loss"


class Verb(StrEnum):
    """Every thing that may have to be done to an object; steps are named after them."""

    CREATE = "create"
    ADOPT = "adopt"
    UPDATE = "update"
    CONNECT = "connect"
    DISCONNECT = "disconnect"
    ADD_NETWORK = "add-network"
    UPDATE_NETWORK = "update-network"
    REMOVE_NETWORK = "remove-network"
    ENTER_MAINTENANCE = "enter-maintenance"
    LEAVE_MAINTENANCE = "leave-maintenance"
    RENEW_CERTIFICATE = "renew-certificate"
    GROW = "grow"
    REMOVE = "remove"
    RESTORE = "restore"
    SET_ASIDE = "set-aside"
    PURGE = "purge"
    RECORD_EXIT = "record-exit"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    MIGRATE = "migrate"
    PAUSE = "pause"
    RESUME = "resume"
    CHANGE_LIVE = "change-live"


class Power(StrEnum):
    """What a VM's power should become; HOLD leaves it as it is."""

    RUN = "run"
    STOP = "stop"
    HOLD = "hold"


OTHER_HOST_ID = "other-host-id"
"""The rule by which a host lets go of storage that it has connected with an id which is another host's now."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: the name of a rule, and the id, field or fact it refers to."""

    rule: str
    ref: str = ""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs: values as they are shown to people (and compared), and what changing it does."""

    field: str
    before: Any
    after: Any
    effect: Effect

    def __str__(self) -> str:
        return f"{self.field} {self.show(self.before)} → {self.show(self.after)}"

    def show(self, value: Any) -> str:
        """One of its values as people write it in a manifest: `1Gi`, `true`, `none`, `""`."""
        if value is None:
            return "none"
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, tuple):
            return " ".join(str(part) for part in value if part)
        if self.field in BYTE_FIELDS:
            return format_bytes(value)
        return str(value) or '""'


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do to one object. host: the host concerned, where the verb needs one. subject: the second
    object, such as the network or storage domain to connect on a host. protective: it restarts a VM after a failure;
    it is tried without end, and goes on where everything else must wait."""

    object: str
    verb: Verb
    because: tuple[Reason, ...]
    host: str | None = None
    subject: str | None = None
    fields: tuple[FieldChange, ...] = ()
    protective: bool = False


@dataclass(frozen=True, slots=True)
class Blocked:
    """An object that cannot be brought to its declared state until a person acts."""

    object: str
    reason: str
    action: str
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Deferred:
    """Something that waits for a fact, a budget, a window or the next start; nobody has to act."""

    object: str
    reason: str
    until: str
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference that somebody or something else caused, and the cause as far as facts tell."""

    object: str
    what: str
    cause: str


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that people should see to although nothing waits for them: work goes on, while it still can."""

    object: str
    what: str
    action: str


@dataclass(frozen=True, slots=True)
class Changes:
    """The diff of a whole data center. Everything sorted by object id, then in the order it was found.

    guests: what each VM that is to start, or runs and changes, is to be made of. records, disk_records: what
    is to be written of a VM or disk whose change writes its record. master: uuid of the domain that holds the
    records, or will once it is made. pool: the pool's record as it is to be, None if it stays.
    """

    changes: tuple[Change, ...] = ()
    blocked: tuple[Blocked, ...] = ()
    deferred: tuple[Deferred, ...] = ()
    drift: tuple[Drift, ...] = ()
    guests: Mapping[str, GuestConfig] = field(default_factory=dict)
    records: Mapping[str, VmRecord] = field(default_factory=dict)
    disk_records: Mapping[str, DiskRecord] = field(default_factory=dict)
    master: str | None = None
    pool: PoolRecord | None = None


@dataclass(frozen=True, slots=True)
class Identities:
    """Which uuid each declared object has, resolved once a pass; incarnations only of objects that are new.

    vms: VM object id to uuid. disks: disk object id to image uuid. renamed: new id to old id.
    """

    vms: Mapping[str, str] = field(default_factory=dict)
    disks: Mapping[str, str] = field(default_factory=dict)
    incarnations: Mapping[str, int] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
