"""Which objects nobody may order anew: those of orders that have not ended, or whose end is not known or not yet seen.

Admission reads it; the reasons are shown to people.
"""

from collections.abc import Iterable, Mapping

from reconciler.model.observed import OpenOrder, OutdatedFacts
from reconciler.store.journal import BegunStep


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
