"""A quick slice of the bent requests; `python -m reliability requests` sends the many."""

from tests.support.fuzzing import fuzzer_of
from tests.support.home import Home


def test_bent_requests_break_nothing_and_learn_nothing(home: Home) -> None:
    statuses = fuzzer_of(home, seed=7).run(600)

    assert statuses[200] + statuses[201] > 0, "some of it must get through"
    assert statuses[422] > 0
