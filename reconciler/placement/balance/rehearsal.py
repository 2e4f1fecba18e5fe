"""Carrying moves out one by one on a layout, as room allows; where all wait for each other, through a third host."""

from dataclasses import dataclass

import numpy as np

from reconciler.placement.balance.layout import NOBODY, Candidates, Layout
from reconciler.placement.balance.score import LOAD, MEMORY, NUMBER, tally_of


@dataclass(frozen=True, slots=True)
class Hop:
    """A VM goes from one host to another."""

    vm: int
    source: int
    target: int


class Rehearsal:
    """pending: by VM, where it is still to go, most preferred first; hops: those made."""

    def __init__(self, layout: Layout, pending: dict[int, int]) -> None:
        self.layout = layout
        self.pending = pending
        self.hops: list[Hop] = []

    def go_on(self) -> bool:
        """Makes every pending move that is legal when its turn comes; whether there was one."""
        before = len(self.hops)
        for vm in [vm for vm, free in zip(self.pending, self._legal(), strict=True) if free]:
            if self._may_go(vm, self.pending[vm]):
                self._go(vm, self.pending.pop(vm))
        return len(self.hops) > before

    def make_room(self) -> bool:
        """Parks VMs that wait themselves, so that the first pending move that this helps becomes legal; whether any."""
        for vm, target in self.pending.items():
            blockers = self._blockers(vm, target)
            if blockers and self._is_worth(vm, blockers) and self._park_all(blockers, vm, target):
                return True
        return False

    def give_up(self) -> None:
        """Leaves the least preferred pending VM where it is."""
        self.pending.popitem()

    def _legal(self) -> list[bool]:
        vms = np.fromiter(self.pending, dtype=np.int64)
        targets = np.fromiter(self.pending.values(), dtype=np.int64)
        found = Candidates(vms, targets, np.full(len(vms), NOBODY))
        return [bool(one) for one in self.layout.legal(found)]

    def _may_go(self, vm: int, target: int) -> bool:
        one = np.array([vm])
        return bool(self.layout.legal(Candidates(one, np.array([target]), np.array([NOBODY])))[0])

    def _go(self, vm: int, target: int) -> None:
        self.hops.append(Hop(vm, int(self.layout.host[vm]), target))
        self.layout.apply(vm, target)

    def _blockers(self, vm: int, target: int) -> list[int]:
        """Pending VMs on the target that must leave it first: members of the VM's spread groups, then the largest until
        there is room. Empty if that is not enough."""
        layout, takes = self.layout, self.layout.tally.scales.takes
        there = [one for one in self.pending if layout.host[one] == target]
        mine = set(layout.groups[vm][layout.groups[vm] >= 0].tolist())
        members = [one for one in there if mine & set(layout.groups[one].tolist())]
        lacking = (takes[vm] - layout.tally.scales.limits[target] + layout.tally.used[target])[:NUMBER]
        lacking = lacking - takes[members, :NUMBER].sum(axis=0)
        for one in sorted(set(there) - set(members), key=lambda one: (-takes[one, MEMORY], one)):
            if (lacking <= 0).all():
                break
            members.append(one)
            lacking = lacking - takes[one, :NUMBER]
        return members if (lacking <= 0).all() else []

    def _park_all(self, blockers: list[int], vm: int, target: int) -> bool:
        """Parks all of them each on the legal host with most memory free, or none."""
        layout = self.layout
        done: list[tuple[int, int]] = []
        for one in blockers:
            place = self._parking_place(one, avoid=target)
            if place is None:
                break
            done.append((one, int(layout.host[one])))
            layout.apply(one, place)
        fits = len(done) == len(blockers) and self._may_go(vm, target)
        places = [int(layout.host[one]) for one, _ in done]
        for one, source in reversed(done):
            layout.apply(one, source)
        if fits:
            for (one, _), place in zip(done, places, strict=True):
                self._go(one, place)
        return fits

    def _parking_place(self, vm: int, avoid: int) -> int | None:
        """The legal host with most memory free, then with least load."""
        tally = self.layout.tally
        hosts = np.arange(len(tally.used))
        legal = self.layout.legal(Candidates(np.full_like(hosts, vm), hosts, np.full_like(hosts, NOBODY)))
        legal[[avoid, self.pending[vm]]] = False
        room = tally.scales.limits[:, MEMORY] - tally.used[:, MEMORY]
        best = np.lexsort((tally.used[:, LOAD], -room, ~legal))[:1]
        return int(best[0]) if legal.any() else None

    def _is_worth(self, vm: int, blockers: list[int]) -> bool:
        """Whether the moves of these VMs gain more, in the end, than they cost with the parking."""
        prices = self.layout.prices
        cost = prices[vm] + 2 * prices[blockers].sum()
        return bool(self._score_without({vm, *blockers}) - self._score_without(set()) > cost)

    def _score_without(self, staying: set[int]) -> float:
        """The score once all pending VMs but these are where they are wanted."""
        host = self.layout.host.copy()
        for vm, target in self.pending.items():
            if vm not in staying:
                host[vm] = target
        return tally_of(self.layout.state.with_places(host), self.layout.weights).score()
