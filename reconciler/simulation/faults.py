"""What goes wrong in a simulation, by script: lost answers, failing and slow orders, hosts that refuse."""

from dataclasses import dataclass, field

from nodeagent.wire.orders import Order
from reconciler.simulation.storage import SimulationFault


@dataclass(slots=True)
class Faults:
    """Counters and tables that tests and timelines fill; empty means that all goes well.

    lost_answers: how many of a host's next answers are lost. failing: how often orders of a kind fail next,
    by (host, kind). slow: factor on durations, by kind. refuses: hosts that answer with a refusal.
    broken_migrations: objects whose next migration fails at its end. late: by (host, kind), by how many seconds the
    next such order is held up on its way; its sender hears nothing.
    """

    lost_answers: dict[str, int] = field(default_factory=dict)
    failing: dict[tuple[str, str], int] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)
    refuses: dict[str, str] = field(default_factory=dict)
    broken_migrations: set[str] = field(default_factory=set)
    late: dict[tuple[str, str], float] = field(default_factory=dict)

    def lose_answer(self, host: str) -> bool:
        """Whether this answer is lost; counts down."""
        left = self.lost_answers.get(host, 0)
        self.lost_answers[host] = max(0, left - 1)
        return left > 0

    def fail(self, host: str, order: Order) -> None:
        """Raises SimulationFault if orders of this kind are to fail here; counts down."""
        left = self.failing.get((host, order.kind), 0)
        if left > 0:
            self.failing[host, order.kind] = left - 1
            raise SimulationFault(f"{order.kind} fails by script")

    def hold_up(self, host: str, order: Order) -> float:
        """Seconds that this order is held up on its way; once."""
        return self.late.pop((host, order.kind), 0.0)

    def duration_s(self, order: Order, usual_s: float) -> float:
        """How long an order takes."""
        return usual_s * self.slow.get(order.kind, 1.0)

    def migration_fails(self, order: Order) -> bool:
        """Whether this migration breaks at its end; once."""
        broken = order.object in self.broken_migrations
        self.broken_migrations.discard(order.object)
        return broken
