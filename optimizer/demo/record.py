"""What was seen during the demo, and whether it is what the demo promises."""

from __future__ import annotations

from dataclasses import dataclass, field

from edge_runtime.errors import BudgetNotMet, EnvironmentFault
from edge_runtime.messaging.json_payload import Prediction

AGAIN = "run `edgeopt demo` again; with --seed N the machine behaves differently"


@dataclass
class Record:
    """What the witness saw.

    Attributes:
        failing: Name of the pump that will be damaged.
        damaged_at: When it was (time.monotonic), None before.
        healthy: Predictions before the damage.
        false_alarms: Alarms before the damage, or of another pump.
        seconds_to_alarm: From the damage to the arrival of its first alarm.
    """

    failing: str
    damaged_at: float | None = None
    healthy: int = 0
    false_alarms: list[str] = field(default_factory=list)
    seconds_to_alarm: float | None = None

    def add(self, prediction: Prediction, arrived_at: float) -> None:
        """Take in one prediction and the moment it arrived (time.monotonic)."""
        self.healthy += self.damaged_at is None
        if not prediction.alarm:
            return
        if self.damaged_at is None or prediction.stream != self.failing:
            self.false_alarms.append(f"{prediction.stream} {prediction.label}")
        elif self.seconds_to_alarm is None:
            self.seconds_to_alarm = arrived_at - self.damaged_at

    def check(self) -> None:
        """Raise where the demo did not show what it promises.

        Raises:
            EnvironmentFault: E-DEMO-NO-PREDICTION.
            BudgetNotMet: E-DEMO-FALSE-ALARM or E-DEMO-NO-ALARM.
        """
        if not self.healthy:
            raise EnvironmentFault("E-DEMO-NO-PREDICTION", "no prediction arrived before the damage", AGAIN)
        if self.false_alarms:
            raise BudgetNotMet("E-DEMO-FALSE-ALARM", f"false alarm: {', '.join(self.false_alarms)}", AGAIN)
        if self.seconds_to_alarm is None:
            raise BudgetNotMet("E-DEMO-NO-ALARM", f"no alarm came for the damaged bearing of {self.failing}", AGAIN)
