"""Runs one function in several processes that start at the same moment."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
WAIT_SECONDS = 60

# Forked from a clean process, not from this one with its connections, threads and locks. That
# process imports once what each runner would (it runs the `pytest` script again).
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    ["pytest", "psycopg", "sqlalchemy.dialects.postgresql", "tests.tokens.key_workers"]
)


def race(
    work: Callable[Concatenate[Callable[[], object], P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> list[T]:
    """Return what eight processes got from ``work(line_up, …)``.

    Args:
        work: A function of a module; it calls ``line_up()`` where all are to start together.
    """
    barrier = context.Barrier(8)
    pipes = [context.Pipe(duplex=False) for _ in range(8)]
    runners = [
        context.Process(target=_run, args=(sender, barrier, work, args, kwargs))
        for _, sender in pipes
    ]
    for runner in runners:
        runner.start()
    for _, sender in pipes:
        sender.close()
    try:
        return [receiver.recv() for receiver, _ in pipes]
    finally:
        for receiver, _ in pipes:
            receiver.close()
        for runner in runners:
            runner.join()
            runner.close()


def _run(
    sender: Connection,
    barrier: Barrier,
    work: Callable[..., object],
    args: tuple[object, ...],
    kwargs: dict[str, object],
) -> None:
    with sender:
        sender.send(work(lambda: barrier.wait(WAIT_SECONDS), *args, **kwargs))
