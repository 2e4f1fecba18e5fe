"""What became of a plan's steps: the executor's report, read by the CLI, the journal and the next pass."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class StepState(StrEnum):
    """A step's life. SKIPPED: not begun, because `cause` did not succeed or the plan was stopped."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """How one step ended. summary and action are the agent's words; elapsed in monotonic ms.

    generation: of the first state document under the agent's ledger `ledger` that shows its effect; 0 if none was named.
    """

    step: str
    state: StepState
    summary: str = ""
    action: str = ""
    cause: str = ""
    elapsed_ms: int = 0
    outputs: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 0
    ledger: str = ""


@dataclass(frozen=True, slots=True)
class ApplyOutcome:
    """How a whole plan ended. interrupted: a person or a lost lease stopped it before its end."""

    apply_id: str
    plan_id: str
    steps: Mapping[str, StepOutcome] = field(default_factory=dict)
    interrupted: str = ""
    refused: str = ""

    @property
    def achieved(self) -> bool:
        """Whether every step succeeded."""
        return not self.refused and all(one.state is StepState.SUCCEEDED for one in self.steps.values())
