"""The step graph: a legal order in which to show the steps, or the shortest cycle that forbids one."""

import heapq
from collections.abc import Callable, Mapping, Sequence

from reconciler.model.plan import Step


class StepCycleError(Exception):
    """Steps wait for each other; the text is the shortest cycle with the rule of each edge."""


def sort_steps(steps: Sequence[Step], key: Callable[[Step], tuple[object, ...]]) -> tuple[Step, ...]:
    """Steps in topological order, ties by key and id. Raises StepCycleError if there is a cycle."""
    waiting, missing = followers(steps), {step.id: len(step.after) for step in steps}
    by_id = {step.id: step for step in steps}
    ready = [(key(step), step.id) for step in steps if not step.after]
    heapq.heapify(ready)
    order: list[Step] = []
    while ready:
        _key, first = heapq.heappop(ready)
        order.append(by_id[first])
        for name in waiting[first]:
            missing[name] -= 1
            if not missing[name]:
                heapq.heappush(ready, (key(by_id[name]), name))
    if len(order) < len(steps):
        from reconciler.planning.cycles import find_cycle  # noqa: PLC0415  networkx takes its time

        raise StepCycleError(find_cycle(steps))
    return tuple(order)


def followers(steps: Sequence[Step]) -> Mapping[str, tuple[str, ...]]:
    """For each step, the ids of the steps that wait for it."""
    waiting: dict[str, list[str]] = {step.id: [] for step in steps}
    for step in steps:
        for edge in step.after:
            waiting[edge.step].append(step.id)
    return {name: tuple(ids) for name, ids in waiting.items()}
