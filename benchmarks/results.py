"""What a measurement found, beside the goal that it has."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table.

    Attributes:
        goal_id: ``P1`` to ``P10``, as in the list of goals.
        what: What was measured, in words.
        value: The number that counts.
        spread: Between which two numbers the middle half of the rounds lies.
        unit: ``×`` for a ratio, else what the number is in.
        at_most: The goal, where less is better.
        at_least: The goal, where more is better.
        note: What a reader should know of this number.
    """

    goal_id: str
    what: str
    value: float
    spread: tuple[float, float] | None = None
    unit: str = "×"
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.at_least is not None:
            return self.value >= self.at_least
        return None


def middle_half(values: Sequence[float]) -> tuple[float, float]:
    """Return between which two numbers the middle half of *values* lies."""
    if len(values) < 2:
        return values[0], values[0]
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Return the ratio of each round, both measured a moment apart."""
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def compared(
    goal_id: str,
    what: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    at_most: float | None = None,
    at_least: float | None = None,
    note: str = "",
) -> Result:
    """Return the median of the rounds' ratios as a result."""
    found = ratios(ours, theirs)
    return Result(
        goal_id,
        what,
        statistics.median(found),
        spread=middle_half(found),
        at_most=at_most,
        at_least=at_least,
        note=note,
    )
