"""How all moves and all exchanges rank, by matrix products.

A rank is linear in the variances. As a spread is a concave function of the variance, the change of score and cost is not
worse than its rank (but where a spread rises across `Weights.even`, and spare room aside). Whoever takes a candidate computes
the change itself.

In the formulas, for each resource: a and b are what two VMs take, c and d the sizes of their hosts, y and z the hosts'
offsets from the mean, N the number of hosts; all change N times the variance.
"""

import numpy as np

from reconciler.placement.balance.layout import Layout
from reconciler.placement.balance.score import slopes as slopes_of
from reconciler.placement.balance.state import Floats, Integers

Terms = list[tuple[Floats, Floats]]
"""Products to add up: one factor by row, one by column; resources side by side."""


def rank_moves(layout: Layout, rows: Integers, hosts: Integers) -> Floats:
    """By VM and host (one that counts): (1 - 1/N)(a²/c² + a²/d²) + 2a²/(Ncd) + 2az/d - 2ay/c. Not below 0 on the VM's own host."""
    tally, scales = layout.tally, layout.tally.scales
    slopes, number, takes = slopes_of(tally.scales, tally.variances), scales.number, scales.takes[rows]
    sizes, offsets = scales.sizes[hosts], tally.offsets[hosts]
    terms = [
        (_leaving(layout, rows, slopes), np.ones((len(hosts), 1))),
        (slopes * takes, 2 * offsets / sizes),
        (slopes * takes**2, (1 - 1 / number) / sizes**2),
        (slopes * takes**2 / scales.sizes[layout.host[rows]], 2 / number / sizes),
    ]
    ranks = _product(terms)
    if tally.spare_weight and tally.spare.slot_prices().any():
        ranks += tally.spare_weight * tally.spare.ranks(rows, layout.host[rows], hosts)
    _credit_homecoming(layout, ranks, rows, hosts)
    return ranks


def rank_exchanges(layout: Layout, rows: Integers, columns: Integers) -> Floats:
    """By VM and VM: as a move of the difference of what they take. Not below 0 on one host."""
    tally, scales = layout.tally, layout.tally.scales
    sizes = scales.sizes[scales.counted]
    even = (sizes == sizes[:1]).all(axis=0)
    slopes = np.where(
        even & (scales.takes == scales.takes[:1]).all(axis=0), 0.0, slopes_of(tally.scales, tally.variances)
    )
    terms = [
        (_leaving(layout, rows, slopes), np.ones((len(columns), 1))),
        (np.ones((len(rows), 1)), _leaving(layout, columns, slopes)),
    ]
    for more, resources in ((_even_terms, even), (_uneven_terms, ~even)):
        which = np.flatnonzero(resources & (slopes > 0))
        pairs = more(_ends(layout, rows, which), _ends(layout, columns, which), scales.number)
        terms += [(slopes[which] * left, right) for left, right in pairs]
    ranks = _product(terms)
    _credit_homecoming(layout, ranks, rows, layout.host[columns])
    _credit_homecoming(layout, ranks.T, columns, layout.host[rows])
    return ranks


def _leaving(layout: Layout, vms: Integers, slopes: Floats) -> Floats:
    """What a VM's leaving alone adds to a rank, with its price, as a column: a²/c²(1 - 1/N) - 2ay/c."""
    tally, scales = layout.tally, layout.tally.scales
    source = layout.host[vms]
    shares = scales.takes[vms] / scales.sizes[source]
    squares = shares * (shares * (1 - 1 / scales.number) - 2 * tally.offsets[source])
    return np.asarray(squares @ slopes + layout.price_of_leaving(vms))[:, None]


Ends = tuple[Floats, Floats, Floats]


def _ends(layout: Layout, vms: Integers, which: Integers) -> Ends:
    """Of VMs, for these resources: what they take, the size of their host, its offset."""
    tally, host = layout.tally, layout.host[vms][:, None]
    return (
        tally.scales.takes[vms[:, None], which],
        tally.scales.sizes[host, which],
        tally.offsets[host, which],
    )


def _even_terms(mine: Ends, theirs: Ends, number: int) -> Terms:
    """What the two leavings do not say, where all hosts have one size: (1 + 1/N)(a² + b²)/c² - 4ab/c² + 2az/c + 2by/c."""
    (a, c, y), (b, d, z) = mine, theirs
    more = 1 + 1 / number
    return [
        (a, 2 * z / d),
        (2 * y / c - 4 * a / c**2, b),
        (a**2 / c**2, np.full_like(b, more)),
        (np.full_like(a, more), b**2 / d**2),
    ]


def _uneven_terms(mine: Ends, theirs: Ends, number: int) -> Terms:
    """Likewise where sizes differ: of (a - b)²((1 - 1/N)(1/c² + 1/d²) + 2/(Ncd)) + 2(a - b)(z/d - y/c)."""
    (a, c, y), (b, d, z) = mine, theirs
    keep = 1 - 1 / number
    return [
        (a, 2 * z / d - 2 * keep * b / d**2),
        (2 * y / c - 2 * keep * a / c**2, b),
        (a**2, keep / d**2),
        (keep / c**2, b**2),
        (a**2 / c, 2 / number / d),
        (2 / number / c, b**2 / d),
        (a / c, -4 / number * b / d),
    ]


def _product(terms: Terms) -> Floats:
    return np.asarray(np.hstack([left for left, _ in terms]) @ np.hstack([right for _, right in terms]).T)


def _credit_homecoming(layout: Layout, ranks: Floats, vms: Integers, targets: Integers) -> None:
    """Takes a VM's price off where the target (a column each) is its home again."""
    away = np.flatnonzero(layout.host[vms] != layout.home[vms])
    back = layout.home[vms[away]][:, None] == targets[None, :]
    at, column = np.nonzero(back)
    ranks[away[at], column] -= layout.prices[vms[away[at]]]
