"""The supervisor of several workers: uvicorn's, which sees at once that one has died."""

from uvicorn.supervisors.multiprocess import Multiprocess


class Supervisor(Multiprocess):
    """Replaces a worker that died, also one that died while it was asked whether it lives.

    uvicorn keeps the worker's end of their pipe open as well, and so waits for an answer that
    nobody can give any more, for as long as a silent worker is waited for. Until then it looks
    at no other worker either.
    """

    def init_processes(self) -> None:
        """Start the workers."""
        super().init_processes()
        self._let_go()

    def keep_subprocess_alive(self) -> None:
        """Ask every worker whether it lives, and replace who does not."""
        self._let_go()  # of those that were started the last time
        super().keep_subprocess_alive()

    def _let_go(self) -> None:
        """Close the workers' ends here: then a pipe ends with its worker."""
        for process in self.processes:
            process.child_conn.close()
