"""What a run found, as counts and as a list of broken promises."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Report:
    """What happened, and what must not have.

    Attributes:
        counts: How often what happened.
        broken: Promises that were not kept, each told so that it can be looked into.
        lines: What was seen, in words.
        surprises: Answers that nobody promised against, and nobody expected either.
        tried: How much was tried, in a few words for a table.
    """

    title: str
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    surprises: Counter[str] = field(default_factory=Counter)
    tried: str = ""

    def count(self, what: str, by: int = 1) -> None:
        self.counts[what] += by

    def expect(self, holds: bool, otherwise: str) -> bool:
        """Note a broken promise unless it *holds*."""
        self.count("checks")
        if not holds:
            self.broken.append(otherwise)
            print(f"  BROKEN: {otherwise}", flush=True)
        return holds

    def progress(self) -> None:
        """Tell who waits how far it is."""
        print(f"  … {self.counts.total():,} counted, {len(self.broken)} broken", flush=True)

    @property
    def is_kept(self) -> bool:
        return not self.broken and not self.surprises

    def show(self) -> None:
        print(f"\n{self.title}")
        for name, count in sorted(self.counts.items()):
            print(f"  {count:>9,}  {name}")
        for line in self.lines:
            print(f"  {line}")
        for name, count in sorted(self.surprises.items()):
            print(f"  {count:>9,}  UNEXPECTED: {name}")
        for one in self.broken[:50]:
            print(f"  BROKEN: {one}")
        print("  every promise was kept" if self.is_kept else f"  {len(self.broken)} broken")
