"""The clock of the testing kit, under the name that the tests of this house know."""

from twinlock.testing.clock import NOON, MovableClock

__all__ = ["NOON", "MovableClock"]
