"""The geometry of the overview's chart: two panels with scales of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from twinlock.flows.figures import Day

_LEFT: Final = 64.0
_RIGHT: Final = 640.0
_BAR: Final = 0.68
"""How much of a day's place its bar takes."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One day in one panel.

    Attributes:
        middle: Where its label stands.
    """

    x: float
    y: float
    width: float
    height: float
    middle: float
    date: date
    number: int
    is_over: bool
    is_peak: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the scale."""

    y: float
    number: int


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars above a scale."""

    bars: Sequence[Bar]
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Chart:
    """Sign-ins above, denials below."""

    signed_in: Panel
    denied: Panel
    left: float = _LEFT
    right: float = _RIGHT


def draw(days: Sequence[Day]) -> Chart:
    """Return the chart of some days."""
    return Chart(
        signed_in=_panel(days, [day.signed_in for day in days], top=42, base=156, steps=2),
        denied=_panel(days, [day.denied for day in days], top=222, base=264, steps=1),
    )


def round_up(number: int) -> int:
    """Return the next number that is easy to read on a scale."""
    power = 1
    while True:
        for factor in (1, 2, 4, 5, 8):
            if number <= factor * power:
                return factor * power
        power *= 10


def _panel(
    days: Sequence[Day], numbers: Sequence[int], *, top: float, base: float, steps: int
) -> Panel:
    most = max(2, round_up(max(numbers, default=0)))
    place = (_RIGHT - _LEFT) / len(days)
    peak = max(range(len(days)), key=lambda one: numbers[one])
    bars = []
    for index, (day, number) in enumerate(zip(days, numbers, strict=True)):
        height = (base - top) * number / most
        height = max(height, 1.5) if number else 0.0
        left = _LEFT + index * place
        bars.append(
            Bar(
                x=round(left + place * (1 - _BAR) / 2, 1),
                y=round(base - height, 1),
                width=round(place * _BAR, 1),
                height=round(height, 1),
                middle=round(left + place / 2, 1),
                date=day.date,
                number=number,
                is_over=day.is_over,
                is_peak=index == peak and number > 0,
            )
        )
    lines = [
        Line(round(base - (base - top) * step / steps, 1), most * step // steps)
        for step in range(steps + 1)
    ]
    return Panel(bars, lines)
