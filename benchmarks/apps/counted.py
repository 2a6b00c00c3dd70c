"""The guarded application, which also tells how often it asked its database.

``BENCH_DIES=1``: it is killed after a commit that ended something, before it marks that.
"""

import os
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.apps.guarded import app
from twinlock.db.engine import Database

_asked: Counter[str] = Counter()
_reading = Database.reading
_reading_inline = Database.reading_inline
_patched: Any = Database


def _counted(self: Database, *args: Any, **kwargs: Any) -> Any:
    _asked["reads"] += 1
    return _reading(self, *args, **kwargs)


def _counted_inline(self: Database, *args: Any, **kwargs: Any) -> Any:
    done = _reading_inline(self, *args, **kwargs)
    _asked["reads"] += 1
    return done


_patched.reading = _counted
_patched.reading_inline = _counted_inline


@app.get("/reads")
async def reads() -> int:
    return _asked["reads"]


if os.environ.get("BENCH_DIES"):

    def _die(self: Database, noted: Sequence[object]) -> None:
        if noted:
            os.kill(os.getpid(), signal.SIGKILL)

    # Whatever the application sets as its listener, it is this that a commit calls.
    _patched.committed = property(_die.__get__, lambda self, value: None)
