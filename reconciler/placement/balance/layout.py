"""Where every VM is while a search goes on, what may go where, and what it costs; mutable, one for a search."""

from dataclasses import dataclass

import numpy as np

from reconciler.placement.balance.score import NUMBER, Tally, Weights, tally_of
from reconciler.placement.balance.state import Booleans, ClusterState, Floats, Integers, movable_vms

NOBODY = -1
"""No partner; no spread group."""
ROUNDING = 1e-9
"""Points; what changes less is rounding."""
LEAST_SHARE = 0.1
"""Of a move's mean price. Where a VM moves anyway it costs nothing to send it elsewhere, but there is no end to it."""


@dataclass(frozen=True, slots=True)
class Price:
    """What moves must gain at least, in points of the score. number: if each VM moved once; carried: if all that a move
    of each carries (`Vms.move_bytes`) were carried once. Shares of all, so that they mean the same in small and large
    clusters.

    With the defaults and the default weights, moving a tenth of the VMs (of average size) must level memory by 6.3
    percent of a host, CPU load by 3.2 percent, or VM numbers by 9 percent. A price per VM below the weight of VM numbers
    lets them be levelled to the last VM.
    """

    number: float = 0.6
    carried: float = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Moves and exchanges, each alone: the VM, the host that it goes to, and the VM that comes back from there (-1:
    none)."""

    vms: Integers
    targets: Integers
    partners: Integers

    def some(self, which: Integers | Booleans) -> "Candidates":
        """Those at these positions."""
        return Candidates(self.vms[which], self.targets[which], self.partners[which])


@dataclass(slots=True, eq=False)
class Layout:
    """host: where VMs are now; home: where they run in truth; prices: by VM, of not being at home in the end; rows: the
    VMs that may move; groups: by VM, its spread groups (-1: no more); crowd: by spread group (and one that is empty)
    and host, its members there."""

    state: ClusterState
    weights: Weights
    tally: Tally
    host: Integers
    home: Integers
    prices: Floats
    rows: Integers
    groups: Integers
    crowd: Integers

    @property
    def least(self) -> float:
        """Points that a change must gain to be made at all, even one that costs nothing."""
        return max(ROUNDING, LEAST_SHARE * float(self.prices.mean())) if len(self.prices) else ROUNDING

    def price_of_leaving(self, vms: Integers) -> Floats:
        """What it costs that a VM leaves for a host that is not its home; nothing once it is away."""
        return np.where(self.host[vms] == self.home[vms], self.prices[vms], 0.0)

    def cost(self) -> float:
        """What all VMs together cost that are not at home."""
        return float(self.prices[self.host != self.home].sum())

    def changes(self, found: Candidates) -> Floats:
        """By how much score and cost together change; below 0 it is worth it."""
        sources = self.host[found.vms]
        change = self.tally.changes(found.vms, found.partners, sources, found.targets)
        back = self._price_change(found.partners, sources)
        price = self._price_change(found.vms, found.targets) + np.where(found.partners >= 0, back, 0.0)
        return np.asarray(change + price)

    def _price_change(self, vms: Integers, targets: Integers) -> Floats:
        home = self.home[vms]
        return np.asarray(self.prices[vms] * (1.0 * (targets != home) - (self.host[vms] != home)))

    def legal(self, found: Candidates) -> Booleans:
        """Whether what goes is allowed where it goes, fits there, and meets no member of its spread groups."""
        sources, takes = self.host[found.vms], self.tally.scales.takes
        back = found.partners >= 0
        amounts = takes[found.vms] - np.where(back[:, None], takes[found.partners], 0.0)
        room = self.tally.scales.limits - self.tally.used
        fits = (amounts <= room[found.targets])[:, :NUMBER].all(axis=1)
        returns = (-amounts <= room[sources])[:, :NUMBER].all(axis=1)
        legal = (sources != found.targets) & fits & self._welcome(found.vms, found.targets, found.partners)
        return np.asarray(legal & (~back | returns & self._welcome(found.partners, sources, found.vms)))

    def _welcome(self, vms: Integers, targets: Integers, leaving: Integers) -> Booleans:
        """Whether a VM may be on a host once another (-1: none) has left it."""
        allowed = (
            self.state.rules.allowed[self.state.vms.kind[vms], targets] & self.state.hosts.receives[targets]
        )
        if not self.groups.shape[1]:
            return np.asarray(allowed)
        mine = self.groups[vms]
        theirs = np.where(leaving[:, None] >= 0, self.groups[leaving], NOBODY)
        gone = ((mine[:, :, None] == theirs[:, None, :]) & (mine >= 0)[:, :, None]).any(axis=2)
        crowd = self.crowd[mine, targets[:, None]] - gone
        return np.asarray(allowed & (crowd <= 0).all(axis=1))

    def apply(self, vm: int, target: int, partner: int = NOBODY) -> None:
        """Carries a move or an exchange out."""
        source = int(self.host[vm])
        self.tally.apply(vm, partner, source, target)
        self._put(vm, target)
        if partner >= 0:
            self._put(partner, source)

    def _put(self, vm: int, target: int) -> None:
        for group in self.groups[vm][self.groups[vm] >= 0]:
            self.crowd[group, self.host[vm]] -= 1
            self.crowd[group, target] += 1
        self.host[vm] = target


def layout_of(state: ClusterState, weights: Weights, price: Price) -> Layout:
    """A layout in which every VM is where it runs."""
    groups, crowd = _spread_groups(state)
    return Layout(
        state=state,
        weights=weights,
        tally=tally_of(state, weights),
        host=state.vms.host.copy(),
        home=state.vms.host.copy(),
        prices=_prices(state, price),
        rows=np.flatnonzero(movable_vms(state)),
        groups=groups,
        crowd=crowd,
    )


def _prices(state: ClusterState, price: Price) -> Floats:
    """Points by VM."""
    carried = state.vms.move_bytes / max(1, int(state.vms.move_bytes.sum()))
    return np.asarray(price.carried * carried + price.number / max(1, len(carried)))


def _spread_groups(state: ClusterState) -> tuple[Integers, Integers]:
    """Spread groups by VM, as wide as the VM in most of them; and how many members each host has."""
    member_of: list[list[int]] = [[] for _ in state.vms.host]
    crowd = np.zeros((len(state.rules.spread) + 1, len(state.hosts.cpus)), dtype=np.int64)
    for number, group in enumerate(state.rules.spread):
        for vm in group:
            member_of[vm].append(number)
            crowd[number, state.vms.host[vm]] += 1
    width = max(map(len, member_of), default=0)
    groups = np.full((len(member_of), width), NOBODY, dtype=np.int64)
    for vm, mine in enumerate(member_of):
        groups[vm, : len(mine)] = mine
    return groups, crowd
