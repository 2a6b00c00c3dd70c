"""``twinlock serve``: the login server, by uvicorn, in one process or several."""

import errno
import logging
import os
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from twinlock import __version__
from twinlock.cli import output
from twinlock.cli.init import Initialised, initialise, told_of_admin
from twinlock.config.settings import Settings
from twinlock.core.errors import DatabaseUnavailableError
from twinlock.flows import checkup
from twinlock.flows.parts import Parts
from twinlock.telemetry.exposition import exposed, shared_counts
from twinlock.web.late_start import may_come_back
from twinlock.web.logging import log_config

if TYPE_CHECKING:
    from uvicorn import Config

log = logging.getLogger("twinlock.serve")

KEEP_ALIVE_SECONDS: Final = 65
"""Longer than reverse proxies keep idle connections, so that these hang up first."""
GRACE_SECONDS: Final = 8
"""What requests in progress get after a signal; Docker kills after ten."""
WORKER_SILENCE_SECONDS: Final = 60
"""After which a worker is replaced. With five, as uvicorn has it, a busy machine kills what
only starts slowly, over and over."""
BACKLOG: Final = 2_048

_APPLICATION: Final = "twinlock.login_server:create_app"

Init = Annotated[
    bool, typer.Option("--init", help="First make what is missing, as `twinlock init` does.")
]
Host = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Listen there instead of TWINLOCK_HOST.")
]
Port = Annotated[
    int | None,
    typer.Option(metavar="PORT", min=1, max=65_535, help="Listen there instead of TWINLOCK_PORT."),
]

app = output.single()


@app.command()
def serve(
    *, init: Init = False, host: Host = None, port: Port = None, json: output.Json = False
) -> None:
    """Run the login server until it is told to stop (Ctrl-C or SIGTERM)."""
    given: dict[str, Any] = {"host": host, "port": port}
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    with closing(_listen(settings)) as listener:  # first: whoever cannot serve changes nothing
        done = initialise(settings) if init else None
        has_admin = _has_admin(settings)
        with _counted(settings):
            _greet(settings, done, has_admin=has_admin, as_json=json)
            _run(settings, listener)


def _has_admin(settings: Settings) -> bool | None:
    """Tell whether there is an administrator; None while a database is away that may come back."""
    try:
        with output.opened(settings) as flows:
            return checkup.has_admin(flows.parts)
    except DatabaseUnavailableError as error:
        if not may_come_back(settings.database_url):
            raise
        output.note(f"twinlock: {output.advice(error)} Until it does, everything is answered 503.")
        return None


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        output.refuse(_why_not(error, settings))
    listener.set_inheritable(True)
    return listener


def _why_not(error: OSError, settings: Settings) -> str:
    place = f"{settings.host} port {settings.port}"
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"{place} is in use, perhaps by another `twinlock serve`. Stop it, or choose "
                f"another port: TWINLOCK_PORT={settings.port + 1}"
            )
        case errno.EACCES:
            return f"{place} needs rights that this user does not have. Choose a port above 1023."
        case _:
            return f"{place} cannot be listened on: {error.strerror}. Change TWINLOCK_HOST."


@contextmanager
def _counted(settings: Settings) -> Iterator[None]:
    """Let Prometheus ask while the server runs, where a port is set for it."""
    port, host = settings.metrics_port, settings.metrics_host
    if port is None:
        yield
        return
    if find_spec("prometheus_client") is None:
        output.refuse("TWINLOCK_METRICS_PORT needs: pip install 'twinlock[metrics]'")
    with shared_counts() as folder, closing(_Opened(settings)) as parts, ExitStack() as stack:
        try:
            stack.enter_context(
                exposed(host, port, folder=folder, parts=parts, version=__version__)
            )
        except OSError as error:
            output.refuse(
                f"TWINLOCK_METRICS_PORT: {host} port {port} cannot be listened on: "
                f"{error.strerror}."
            )
        yield


class _Opened:
    """The installation, opened when it is asked for and its database answers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._lock = threading.Lock()
        self._parts: Parts | None = None

    def __call__(self) -> Parts:
        with self._lock:
            if self._parts is None:
                self._parts = self._stack.enter_context(output.opened(self._settings)).parts
            return self._parts

    def close(self) -> None:
        self._stack.close()


def _greet(
    settings: Settings, done: Initialised | None, *, has_admin: bool | None, as_json: bool
) -> None:
    """Tell what runs, and in development what to try."""
    facts = {
        "url": settings.base_url,
        "has_admin": has_admin,
        "initialised": None if done is None else asdict(done),
    }
    lines = [f"Twinlock {__version__} serves {settings.base_url}"]
    if done is not None:
        lines += told_of_admin(done)
    elif has_admin is False:
        lines += ["", f"There is no administrator yet. Type: {output.CREATE_ADMIN}"]
    if not settings.is_production:
        if done is not None and not done.installation_created:
            forgotten = f"{_program()} user set admin --ask-password"
            lines.append(f"The data of the last time is there: {done.data_dir}")
            lines.append(f"Where the first password was lost: {forgotten}")
        lines += _next_steps(settings)
    output.show(facts, *lines, as_json=as_json)
    sys.stdout.flush()


def _next_steps(settings: Settings) -> list[str]:
    url = settings.base_url
    form = "-d grant_type=password -d username=admin --data-urlencode password@-"
    return [
        "",
        "What to try next:",
        f"  1. Open {url}/docs, press Authorize, and sign in as admin with the password.",
        f"  2. Add a second factor:   {_program()} factor enroll admin totp",
        f"  3. Ask for a token:       tr -d '\\n' | curl {form} {url}/token",
        "     (type the password, with a second factor the code right behind it, Enter and Ctrl-D)",
        "",
        "Ctrl-C stops the server; the data stays.",
    ]


def _program() -> str:
    """Return how this program is called from here."""
    script = Path(sys.executable).with_name("twinlock")
    if shutil.which("twinlock") or not script.is_file():
        return "twinlock"
    with suppress(ValueError):
        return str(script.relative_to(Path.cwd()))
    return str(script)


def _run(settings: Settings, listener: socket.socket) -> None:
    """Serve until a signal comes; requests in progress are finished.

    Raises:
        typer.Exit: The application did not start.
    """
    from uvicorn import Server
    from uvicorn.config import STARTUP_FAILURE

    from twinlock.cli.supervisor import Supervisor

    # Where each process reads its settings, and finds what this one was told as options.
    os.environ.update(TWINLOCK_HOST=settings.host, TWINLOCK_PORT=str(settings.port))
    config = _uvicorn_config(settings)
    log.info(
        "server_starting",
        extra={
            "version": __version__,
            "environment": settings.environment,
            "host": settings.host,
            "port": settings.port,
            "workers": settings.workers,
        },
    )
    for warning in settings.warnings():
        log.warning("settings_doubtful", extra={"says": warning})
    if settings.workers > 1:
        supervisor = Supervisor(config, sockets=[listener])
        supervisor.run()
        has_failed = any(one.exitcode == STARTUP_FAILURE for one in supervisor.processes)
    else:
        # Raised once more by uvicorn when it has ended: then this ends what is left to do here.
        signal.signal(signal.SIGTERM, _stop)
        server = Server(config)
        with suppress(KeyboardInterrupt, SystemExit):  # uvicorn's, when it has ended by itself
            server.run(sockets=[listener])
        has_failed = not server.started
    log.info("server_stopped")
    if has_failed:
        output.refuse("The server did not start; its log says why.")


def _stop(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _uvicorn_config(settings: Settings) -> "Config":
    from uvicorn import Config

    from twinlock.cli.http import BoundedHttp

    return Config(
        _APPLICATION,
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=BoundedHttp,
        lifespan="on",
        log_config=log_config(is_development=not settings.is_production),
        access_log=False,  # ours holds the route's template instead of the path
        proxy_headers=False,  # the routes believe configured proxies only
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_worker_healthcheck=WORKER_SILENCE_SECONDS,
    )
