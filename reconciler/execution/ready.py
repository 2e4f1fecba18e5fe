"""Which steps may start now: edges satisfied, limits kept, plan order. Also what waits for what, and what is skipped.

`run` asks it after every end. No I/O and no clock: the same ends in the same order give the same starts.
"""

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reconciler.execution.slots import Slots
from reconciler.model.plan import MIGRATIONS_LIMIT, Edge, Step


@dataclass(frozen=True, slots=True)
class Skipped:
    """A step that will not run; cause: the step that did not succeed, or why the plan stopped."""

    step: Step
    cause: str


class ReadySet:
    """The steps of one plan that have not ended. Protective ones go first, and do not wait for orders of others that
    a host has. A host gets one order of an object at a time: it would refuse more.

    limits: Plan.limits. orders_per_host: at once. hosts: host uuid to object id, for both ends of migrations. slots:
    shared with the plans that run at the same time.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        limits: Mapping[str, Mapping[str, int]],
        orders_per_host: int,
        hosts: Mapping[str, str],
        slots: Slots | None = None,
    ) -> None:
        self._steps = {step.id: step for step in steps}
        first = sorted(steps, key=lambda step: not step.protective)
        self._rank = {step.id: number for number, step in enumerate(first)}
        self._hosts = hosts
        self._orders_per_host = orders_per_host
        self._most_migrations = limits.get(MIGRATIONS_LIMIT, {})
        self._missing = {step.id: {edge.step: edge for edge in step.after} for step in steps}
        self._followers: dict[str, list[str]] = {step.id: [] for step in steps}
        self._ready: dict[str, list[tuple[int, str]]] = {}
        self._slots = slots or Slots()
        self._running: set[str] = set()
        self._objects: set[tuple[str, str]] = set()
        for step in steps:
            for edge in step.after:
                self._followers[edge.step].append(step.id)
            if not step.after:
                self._add_ready(step)

    def take(self, *, only_protective: bool = False) -> list[Step]:
        """The steps to start now, in plan order; they count as running from here on. only_protective: no others."""
        taken: list[Step] = []
        for host in sorted(self._ready):
            for rank, name in list(self._ready[host]):
                step = self._steps[name]
                if not step.protective and (
                    only_protective or self._slots.orders[host] >= self._orders_per_host
                ):
                    break  # protective ones come first, and wait for no other orders
                if not self._full(step) and (step.host, step.object) not in self._objects:
                    self._ready[host].remove((rank, name))
                    self._count(step, 1)
                    taken.append(step)
            if not self._ready[host]:
                del self._ready[host]
        return sorted(taken, key=lambda step: self._rank[step.id])

    def end(self, name: str, *, succeeded: bool, settled: bool) -> list[Skipped]:
        """A running step has ended; settled: what became of it is known. Returns the steps that now never run."""
        self._count(self._steps[name], -1)
        del self._missing[name]
        return self._pass_on([(name, succeeded, settled, name)])

    def withdraw(self, name: str) -> tuple[list[Step], list[Skipped]]:
        """Take out every step of an object that was not started. Returns those, and the others that now never run."""
        taken = [one for one in self._missing if one not in self._running and self._steps[one].object == name]
        for one in taken:
            del self._missing[one]
        for host, ready in list(self._ready.items()):
            self._ready[host] = [(rank, one) for rank, one in ready if one not in taken]
        skipped = self._pass_on([(one, False, True, one) for one in taken])
        return [self._steps[one] for one in taken], skipped

    def waiting_steps(self) -> list[Step]:
        """Steps that were not started, in plan order."""
        return [self._steps[one] for one in self._missing if one not in self._running]

    def held_by_others(self, *, only_protective: bool = False) -> bool:
        """Whether nothing of this plan runs and a step could start, but for what other plans have under way."""
        ready = (self._steps[name] for steps in self._ready.values() for _, name in steps)
        some = any(step.protective or not only_protective for step in ready)
        return some and not self._running and not self._slots.idle

    def give_up(self, cause: str) -> list[Skipped]:
        """Start nothing more. Returns every step that was not started, in plan order."""
        names = [name for name in self._missing if name not in self._running]
        for name in names:
            del self._missing[name]
        self._ready.clear()
        return [Skipped(self._steps[name], cause) for name in names]

    def waiting(self) -> dict[str, str]:
        """Why each step that was not started waits, in plan order."""
        reasons = {}
        for name, edges in self._missing.items():
            if name not in self._running:
                reasons[name] = _edges_text(edges) if edges else self._limit_text(self._steps[name])
        return reasons

    def _pass_on(self, ends: list[tuple[str, bool, bool, str]]) -> list[Skipped]:
        """Tell followers; those that can never run end too. Entries: step, succeeded, settled, first cause."""
        skipped: list[Skipped] = []
        while ends:
            name, succeeded, settled, cause = ends.pop()
            for follower in self._followers[name]:
                edges = self._missing.get(follower)
                if edges is None:
                    continue
                edge = edges.pop(name)
                if not (succeeded or (edge.kind == "settled" and settled)):
                    del self._missing[follower]
                    skipped.append(Skipped(self._steps[follower], cause))
                    ends.append((follower, False, True, cause))
                elif not edges:
                    self._add_ready(self._steps[follower])
        return sorted(skipped, key=lambda one: self._rank[one.step.id])

    def _add_ready(self, step: Step) -> None:
        insort(self._ready.setdefault(step.host, []), (self._rank[step.id], step.id))

    def _count(self, step: Step, change: int) -> None:
        self._slots.count(step.host, self._ends_of_migration(step), change)
        (self._running.add if change > 0 else self._running.discard)(step.id)
        (self._objects.add if change > 0 else self._objects.discard)((step.host, step.object))

    def _ends_of_migration(self, step: Step) -> tuple[str, ...]:
        if step.kind != "migrate-vm":
            return ()
        destination = str(step.args.get("destination"))
        return step.host, self._hosts.get(destination, destination)

    def _full(self, step: Step) -> str:
        """The host whose limit of migrations keeps a step waiting; empty if none does."""
        ends, most = self._ends_of_migration(step), self._most_migrations
        return next((one for one in ends if one in most and self._slots.migrations[one] >= most[one]), "")

    def _limit_text(self, step: Step) -> str:
        full = self._full(step)
        if full:
            return f"{full} takes part in {self._slots.migrations[full]} migrations, its limit"
        if (step.host, step.object) in self._objects:
            return f"{step.host} carries out another order of {step.object}"
        return f"{step.host} has {self._slots.orders[step.host]} orders, its limit"


def _edges_text(edges: Mapping[str, Edge]) -> str:
    names = sorted(edges)
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return "after " + ", ".join(f"{name} ({edges[name].rule})" for name in names[:3]) + more
