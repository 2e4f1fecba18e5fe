"""The most promising moves and exchanges among all pairs: few enough to look at one by one, and legal."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from reconciler.placement.balance.layout import NOBODY, Candidates, Layout
from reconciler.placement.balance.ranks import rank_exchanges, rank_moves
from reconciler.placement.balance.state import Floats, Integers

SMALL = 1 << 19
"""Pairs; of so few the best are looked at whatever their rank, since the bound is coarse in small clusters."""
TILE = 1 << 21
"""Pairs ranked together where there are more: their matrix stays in a processor's own cache."""
SHORTLIST = 1024
PARTNERS = 8
"""Other hosts that are looked at for each where there are many pairs."""

Positions = tuple[Integers, Integers]
"""Rows and columns of a matrix."""
NOWHERE: Positions = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


def promising_moves(layout: Layout, rows: Integers) -> Iterator[Candidates]:
    """Moves of these VMs (in the order of their hosts), in at most two lists: the best, then all that rank as gains.
    Legal, each alone."""
    hosts = np.flatnonzero(layout.state.hosts.receives)
    for row, column in _shortlists(
        lambda part: rank_moves(layout, rows[part], hosts), layout.host[rows], hosts, layout.least
    ):
        found = Candidates(rows[row], hosts[column], np.full(len(row), NOBODY))
        yield found.some(layout.legal(found))


def promising_exchanges(layout: Layout, rows: Integers, columns: Integers) -> Iterator[Candidates]:
    """Exchanges of the first VMs with the second (both in the order of their hosts), likewise."""
    hosts = layout.host[columns]
    for row, column in _shortlists(
        lambda part: rank_exchanges(layout, rows[part], columns), layout.host[rows], hosts, layout.least
    ):
        found = Candidates(rows[row], hosts[column], columns[column])
        yield found.some(layout.legal(found))


def _shortlists(
    ranks: Callable[[slice], Floats], sources: Integers, targets: Integers, gain: float
) -> Iterator[Positions]:
    """First the best of all or, where there are many pairs, the best between each two hosts; then all gains.

    ranks: of some rows; sources, targets: the hosts of rows and columns, in order; gain: at least so many points.
    """
    pairs = len(sources) * len(targets)
    if not pairs:
        return
    if pairs <= SMALL:
        matrix = ranks(slice(None))
        best = np.argpartition(matrix.ravel(), min(SHORTLIST, pairs) - 1)[:SHORTLIST]
        yield best // len(targets), best % len(targets)
        yield _gains(matrix, gain)
        return
    step = max(1, TILE // len(targets))
    tiles = [slice(start, start + step) for start in range(0, len(sources), step)]
    found = [(tile, _best_between_hosts(ranks(tile), sources[tile], targets, gain)) for tile in tiles]
    yield _joined(found)
    promising = [tile for tile, (rows, _) in found if len(rows)]
    yield _joined([(tile, _gains(ranks(tile), gain)) for tile in promising])


def _gains(ranks: Floats, gain: float) -> Positions:
    """All that rank as gains."""
    if ranks.min() >= -gain:
        return NOWHERE
    rows, columns = np.nonzero(ranks < -gain)
    return rows, columns


def _joined(parts: list[tuple[slice, Positions]]) -> Positions:
    """Positions in tiles to positions in the whole."""
    rows = [row + tile.start for tile, (row, _) in parts]
    columns = [column for _, (_, column) in parts]
    return np.concatenate([NOWHERE[0], *rows]), np.concatenate([NOWHERE[1], *columns])


def _best_between_hosts(ranks: Floats, sources: Integers, targets: Integers, gain: float) -> Positions:
    """Of two hosts the pair that ranks best; of all such pairs that rank as gains, the PARTNERS best for each source, and
    the best that leave no host out because all want the same."""
    if ranks.min() >= -gain:
        return NOWHERE
    rows, columns = _starts(sources), _starts(targets)
    by_source = np.stack([ranks[top:end].min(axis=0) for top, end in pairwise(rows)])  # quicker than reduceat
    least = np.minimum.reduceat(by_source, columns[:-1], axis=1)
    found = []
    for row, column in sorted(_partners(least, gain) | _matched(least, gain)):
        top, left = rows[row], columns[column]
        part = ranks[top : rows[row + 1], left : columns[column + 1]]
        down, right = divmod(int(part.argmin()), part.shape[1])
        found.append((top + down, left + right))
    both = np.array(found, dtype=np.int64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _partners(least: Floats, gain: float) -> set[tuple[int, int]]:
    """Of each row the best columns."""
    most = min(PARTNERS, least.shape[1])
    best = np.argpartition(least, most - 1, axis=1)[:, :most]
    rows, which = np.nonzero(np.take_along_axis(least, best, axis=1) < -gain)
    return set(zip(rows.tolist(), best[rows, which].tolist(), strict=True))


def _matched(least: Floats, gain: float) -> set[tuple[int, int]]:
    """The best of all, then the best in other rows and columns, and so on."""
    left = least.copy()
    pairs: set[tuple[int, int]] = set()
    while left[one := divmod(int(left.argmin()), left.shape[1])] < -gain:
        pairs.add(one)
        left[one[0], :] = np.inf
        left[:, one[1]] = np.inf
    return pairs


def _starts(hosts: Integers) -> Integers:
    """Where the VMs of each host begin, in the order of hosts; at last the end."""
    return np.concatenate([[0], np.flatnonzero(np.diff(hosts)) + 1, [len(hosts)]])
