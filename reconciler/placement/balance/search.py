"""The search: the best moves while there are any, then exchanges, until nothing gains more than it costs.

Score and cost (of all VMs that are not at home) are one sum that only falls. A VM that was moved may be moved on, exchanged or
sent home: what it was counted for is given back. So there is nothing to collapse or prune afterwards.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from reconciler.placement.balance.candidates import promising_exchanges, promising_moves
from reconciler.placement.balance.layout import ROUNDING, Candidates, Layout
from reconciler.placement.balance.state import Floats, Integers

AS_GOOD = 0.25
"""Candidates between other hosts that gain at least so much of what the best gains are taken in the same turn."""
PAIRS = 1 << 23
"""Exchanges that compete in one turn."""
MOST_TRIED = 4096
"""Candidates of one list that are tried one by one."""

MOST_REFUSED = 16
"""Candidates of one turn that gain no longer enough after what was taken before; with so many, it is time to rank anew."""


def search_balance(layout: Layout) -> None:
    """Changes the layout until no move and no exchange gains more than it costs."""
    while True:
        while _take_best(layout, promising_moves(layout, _by_host(layout, layout.rows))):
            pass
        if not _exchange_once(layout):
            return


def _exchange_once(layout: Layout) -> bool:
    """One turn of exchanges for each block of VMs; whether any was made."""
    done = False
    for block in list(_blocks(layout)):
        found = promising_exchanges(layout, _by_host(layout, block), _by_host(layout, layout.rows))
        done |= _take_best(layout, found)
    return done


def _by_host(layout: Layout, vms: Integers) -> Integers:
    """VMs in the order of their hosts."""
    return vms[np.argsort(layout.host[vms], kind="stable")]


def _blocks(layout: Layout) -> Iterator[Integers]:
    """All VMs, those of the hosts farthest from the mean first."""
    tally = layout.tally
    distance = (tally.offsets**2 * tally.scales.weights / (tally.variances + ROUNDING)).sum(axis=1)
    rows = layout.rows[np.argsort(-distance[layout.host[layout.rows]], kind="stable")]
    step = max(1, PAIRS // max(1, len(rows)))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _take_best(layout: Layout, lists: Iterable[Candidates]) -> bool:
    """Carries out the best candidates of the first list that has any; whether there were."""
    for found in lists:
        change = layout.changes(found)
        order = np.argsort(change, kind="stable")[:MOST_TRIED]
        order = order[change[order] < -layout.least]
        if len(order):
            _take_in_order(layout, found, order, change)
            return True
    return False


def _take_in_order(layout: Layout, found: Candidates, order: Integers, change: Floats) -> None:
    """The first candidate, and all that gain nearly as much between hosts of which no earlier one has changed any."""
    least = AS_GOOD * change[order[0]]
    touched: set[int] = set()
    refused = 0
    for one in order[change[order] <= least]:
        vm, target = int(found.vms[one]), int(found.targets[one])
        ends = {int(layout.host[vm]), target}
        if touched & ends:
            continue
        # What was taken before leaves these hosts as they were, but it has changed the variances and the spare room.
        if touched and layout.changes(found.some(np.array([one])))[0] > least:
            refused += 1
            if refused == MOST_REFUSED:
                return
            continue
        layout.apply(vm, target, int(found.partners[one]))
        touched |= ends
