"""``requests``: generated and bent requests, none of which may be a server's error (goal R4)."""

from reliability.report import Report
from tests.support import fuzzing

_CHECKS_EACH = 3
"""No server's error, no secret in the answer, none in the log."""


def run(requests: int, *, seed: int) -> Report:
    """Send *requests* requests and report how often each status was answered."""
    report = Report(f"Requests, seed {seed}")
    report.tried = f"{requests:,} requests, seed {seed}"
    try:
        statuses = fuzzing.run(requests, seed=seed)
    except AssertionError as error:
        report.broken.append(str(error)[:2000])
        return report
    for status, count in sorted(statuses.items()):
        report.count(f"answered {status}", count)
    report.count("checks", _CHECKS_EACH * requests)
    return report
