"""Which objects nobody may plan or order anew: those of steps that have not ended, or whose end is not known.

Pipeline and admission read it; the reasons are shown to people.
"""

from collections.abc import Collection, Iterable, Mapping

from reconciler.model.observed import OpenOrder, OutdatedFacts
from reconciler.model.plan import Plan, Step
from reconciler.store.journal import BegunStep


def locked_by_plan(plan: Plan, ended: Collection[str], apply_id: str) -> dict[str, str]:
    """Objects with a step of an admitted plan that waits or runs. ended: ids of steps that have ended."""
    return {
        step.object: f"{step.id} of apply {apply_id} has not ended"
        for step in plan.steps
        if step.id not in ended
    }


def locked_by_journal(unsettled: Iterable[BegunStep]) -> dict[str, str]:
    """Objects of steps whose order may still take effect."""
    return {
        step.object: f"what became of {step.step_id} (apply {step.apply_id}) is not known until {step.host} answers"
        for step in unsettled
    }


def locked_by_orders(open_orders: Mapping[str, OpenOrder]) -> dict[str, str]:
    """Objects with an order in some agent's ledger that has not ended."""
    return {name: f"{one.kind} ({one.key}) is open on {one.host}" for name, one in open_orders.items()}


def locked_by_results(outdated: Mapping[str, OutdatedFacts]) -> dict[str, str]:
    """Objects of which an order ended, and the facts do not show it yet."""
    return {name: one.reason for name, one in outdated.items()}


def locked_steps(steps: Iterable[Step], locked: Mapping[str, str]) -> dict[str, str]:
    """The steps of a plan that touch a locked object, with the reason."""
    return {step.id: locked[step.object] for step in steps if step.object in locked}
