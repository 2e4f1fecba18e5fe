"""Whether each host could be lost: a counting bound over sizes of VMs that proves where they would not fit elsewhere.

For a size t, a VM of m bytes takes at least m // t slots of t bytes, and a host with f bytes free has f // t of them.
What a host's VMs take must not be more than the others have. Where sizes divide each other this is exact; elsewhere VMs
may still not fit (a proof that they do is another matter's: `--require n+1`).
"""

from dataclasses import dataclass

import numpy as np

from reconciler.placement.balance.state import Booleans, ClusterState, Floats, Integers

MOST_SIZES = 8
AT_ONCE = 4096
"""Candidates looked at together, divided by hosts: bounds memory."""


@dataclass(slots=True, eq=False)
class SpareRoom:
    """sizes: bytes, largest first; slots: by VM and size, what it takes; memory: of each VM; free: bytes by host;
    need: by host and size, of VMs that would restart; total: bytes of each host; counted: hosts that may be lost;
    receives: hosts on which VMs restart; ample: the answer of `is_ample`, until something changes."""

    sizes: Integers
    slots: Integers
    memory: Integers
    free: Integers
    need: Integers
    total: Integers
    counted: Booleans
    receives: Booleans
    ample: bool | None = None

    def offered(self) -> Integers:
        """By host and size, the slots that it has free; none where it takes no VMs."""
        return self._offer(self.free) * self.receives[:, None]

    def _offer(self, free: Integers) -> Integers:
        return np.asarray(np.maximum(free, 0)[..., None] // self.sizes)

    def missing(self) -> Floats:
        """By host, the share of its memory for whose VMs there is no room elsewhere if it is lost."""
        offered = self.offered()
        return self._missing(self.need + offered - offered.sum(axis=0), np.arange(len(self.free)))

    def _missing(self, lacking: Integers, hosts: Integers) -> Floats:
        lost = np.maximum(lacking, 0) * self.sizes
        return np.asarray(lost.max(axis=-1, initial=0) / self.total[hosts] * self.counted[hosts])

    def shortage(self) -> float:
        """Mean of what is missing, over the hosts that count."""
        return float(self.missing().sum() / max(1, int(self.counted.sum())))

    def is_ample(self) -> bool:
        """Whether no change of two hosts could make anything missing."""
        if self.ample is None:
            self.ample = self._has_margin()
        return self.ample

    def _has_margin(self) -> bool:
        offered = self.offered()
        margin = offered.sum(axis=0) - (self.need + offered)[self.counted].max(axis=0, initial=0)
        return bool((margin >= 2 * self.slots.max(axis=0, initial=0) + 4).all())

    def apply(self, vm: int, partner: int, source: int, target: int) -> None:
        """A VM has gone from source to target, and its partner (-1: none) back."""
        self.ample = None
        for one, sign in ((vm, 1), (partner, -1)):
            if one >= 0:
                self.free[source] += sign * self.memory[one]
                self.free[target] -= sign * self.memory[one]
                self.need[source] -= sign * self.slots[one]
                self.need[target] += sign * self.slots[one]

    def changes(self, vms: Integers, partners: Integers, sources: Integers, targets: Integers) -> Floats:
        """By how much the shortage changes, one entry a candidate, each alone."""
        step = max(1, AT_ONCE * 16 // max(1, len(self.free)))
        before = self.shortage()
        parts = [
            self._after(*(one[start : start + step] for one in (vms, partners, sources, targets))) - before
            for start in range(0, len(vms), step)
        ]
        return np.concatenate([np.zeros(0), *parts])

    def _after(self, vms: Integers, partners: Integers, sources: Integers, targets: Integers) -> Floats:
        """The shortage after each candidate: all hosts, then the two that change corrected."""
        back = partners >= 0
        moved = self.memory[vms] - self.memory[partners] * back
        slots = self.slots[vms] - self.slots[partners] * back[:, None]
        offered = self.offered()
        ends = np.stack([sources, targets])
        signs = np.array([1, -1])
        offers = self._offer(self.free[ends] + signs[:, None] * moved) * self.receives[ends][..., None]
        total = offered.sum(axis=0) + (offers - offered[ends]).sum(axis=0)
        everyone = self._missing(
            (self.need + offered)[None] - total[:, None], np.arange(len(self.free))[None]
        ).sum(axis=1)
        old = self._missing((self.need + offered)[ends] - total[None], ends).sum(axis=0)
        needs = self.need[ends] - signs[:, None, None] * slots
        new = self._missing(needs + offers - total[None], ends).sum(axis=0)
        return np.asarray((everyone - old + new) / max(1, int(self.counted.sum())))

    def slot_prices(self) -> Floats:
        """By size, how much the shortage would fall with one more slot in all; 0 where nothing is missing."""
        offered = self.offered()
        lost = np.maximum(self.need + offered - offered.sum(axis=0), 0) * self.sizes
        decisive = lost.argmax(axis=1)
        short = (lost.max(axis=1, initial=0) > 0) & self.counted
        prices = np.zeros(len(self.sizes))
        np.add.at(prices, decisive[short], self.sizes[decisive[short]] / self.total[short])
        return prices / max(1, int(self.counted.sum()))

    def ranks(self, rows: Integers, sources: Integers, targets: Integers) -> Floats:
        """By VM and host, about how much the shortage changes with a move: the slots that it makes and breaks."""
        prices = self.slot_prices()
        distinct, which = np.unique(self.memory[rows], return_inverse=True)
        now = self.offered()
        enters = (
            self._offer(self.free[targets] - distinct[:, None]) * self.receives[targets][:, None]
            - now[targets]
        )
        leaves = (
            self._offer(self.free[sources] + self.memory[rows]) * self.receives[sources][:, None]
            - now[sources]
        )
        return np.asarray(-(enters @ prices)[which] - (leaves @ prices)[:, None])


def spare_room(state: ClusterState, counted: Booleans) -> SpareRoom:
    """The spare room of a state as it is."""
    hosts, vms = state.hosts, state.vms
    sizes = _sizes(vms.memory_bytes)
    slots = vms.memory_bytes[:, None] // sizes
    free = hosts.memory_bytes.copy()
    np.subtract.at(free, vms.host, vms.memory_bytes)
    slots = slots * vms.restarts[:, None]
    need = np.zeros((len(hosts.cpus), len(sizes)), dtype=np.int64)
    np.add.at(need, vms.host, slots)
    return SpareRoom(
        sizes, slots, vms.memory_bytes, free, need, np.maximum(hosts.memory_bytes, 1), counted, hosts.receives
    )


def _sizes(memory: Integers) -> Integers:
    """At most MOST_SIZES sizes of VMs, evenly over those that occur, largest first."""
    distinct = np.unique(memory[memory > 0])[::-1]
    if len(distinct) <= MOST_SIZES:
        return distinct
    return np.asarray(distinct[np.linspace(0, len(distinct) - 1, MOST_SIZES).astype(np.int64)])
