"""Which factors there are: method -> factor."""

from collections.abc import Iterable, Iterator

from twinlock.factors.protocol import Factor


class Factors:
    """The factors of an installation, in the order in which they are offered."""

    def __init__(self, factors: Iterable[Factor]) -> None:
        self._by_method = {factor.method: factor for factor in factors}

    def __iter__(self) -> Iterator[Factor]:
        return iter(self._by_method.values())

    def get(self, method: str) -> Factor | None:
        """Return the factor called *method*."""
        return self._by_method.get(method)
