"""Try the wheel with another Python: an empty environment, the runtime dependencies, one example.

    python scripts/try_wheel.py python3.11 /path/to/python3.14
    python scripts/try_wheel.py newest

Dependencies come from the package index, as they do for everybody; `tests/packaging` does the same
from the lock, without a download, for the Python that the tests run on.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from urllib.error import HTTPError, URLError

ROOT = Path(__file__).parents[1]
DEVELOPMENT = ("pytest", "httpx2", "hypothesis", "jinja2", "webauthn", "psycopg", "aiosqlite")
"""What no runtime dependency is: of development, and of the extras."""
PASSWORD = "correct horse battery staple"


def main(interpreters: list[str]) -> None:
    """Build the wheel once and try it with each interpreter; fails with the first that fails."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", name], cwd=ROOT)
        (wheel,) = folder.glob("*.whl")
        for number, wanted in enumerate(interpreters or [sys.executable]):
            interpreter = newest() if wanted == "newest" else wanted
            print(f"{interpreter}: {try_one(interpreter, wheel, folder / str(number))}")


def newest() -> str:
    """Return the newest Python that this machine has: on the path, or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [sys.executable, *map(str, pyenv.glob("versions/3.*/bin/python3"))]
    found += filter(None, (shutil.which(f"python3.{minor}") for minor in range(11, 20)))
    return max(found, key=release)


def release(interpreter: str) -> tuple[int, ...]:
    """Return which release an interpreter is; nothing for one that does not run."""
    told = subprocess.run(
        [interpreter, "-I", "-c", "import sys; print(*sys.version_info[:3])"],
        capture_output=True,
        text=True,
        check=False,
    )
    return tuple(map(int, told.stdout.split())) if told.returncode == 0 else ()


def try_one(interpreter: str, wheel: Path, folder: Path) -> str:
    """Install the wheel alone, run the README's first example, sign in; return the version."""
    run([interpreter, "-m", "venv", str(folder)])
    python = str(folder / "bin" / "python")
    run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", str(wheel)])
    program = f"from importlib.util import find_spec as f; print(*filter(f, {DEVELOPMENT!r}))"
    if extra := run([python, "-I", "-c", program]).strip():
        raise SystemExit(f"the wheel alone brings {extra}")
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    if code is None:
        raise SystemExit("README.md shows no example")
    (folder / "app.py").write_text(code[1], encoding="utf-8")
    twinlock = [python, "-I", "-m", "twinlock"]
    run([*twinlock, "init"], cwd=folder)
    run([*twinlock, "user", "create", "johndoe", "--password-stdin"], cwd=folder, text=PASSWORD)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = [python, "-m", "uvicorn", "--app-dir", ".", "--port", str(port), "app:app"]
    with subprocess.Popen(server, cwd=folder, env=development()) as process:
        try:
            sign_in(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
    return run([python, "--version"]).strip()


def sign_in(address: str) -> None:
    """Ask as a stranger, sign in, and ask again."""
    wait_for(f"{address}/items")
    form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
    _, body = ask(f"{address}/token", data=urllib.parse.urlencode(form).encode())
    found = re.search(r'"access_token":"([^"]+)"', body)
    token = found[1] if found else ""
    status, body = ask(f"{address}/items", headers={"Authorization": f"Bearer {token}"})
    if (status, body) != (200, '["an item of johndoe"]'):
        raise SystemExit(f"the example answered {status} {body}")


def wait_for(url: str) -> None:
    """Wait until the server refuses a stranger, as it should."""
    for _ in range(300):
        try:
            status, _ = ask(url)
        except URLError:
            time.sleep(0.1)
            continue
        if status != 401:
            raise SystemExit(f"a stranger was answered with {status}")
        return
    raise SystemExit("the server did not start")


def ask(
    url: str, *, data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, str]:
    """Return status and body of an answer, whatever it is."""
    request = urllib.request.Request(url, data=data, headers=headers or {})  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - ours
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def run(command: list[str], *, cwd: Path | None = None, text: str = "") -> str:
    """Run a command that is to succeed, and return what it prints."""
    done = subprocess.run(
        command, cwd=cwd, env=development(), input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def development() -> dict[str, str]:
    """Return the environment, without what could name another installation."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TWINLOCK_")}
    return kept | {"TWINLOCK_ENVIRONMENT": "development"}


if __name__ == "__main__":
    main(sys.argv[1:])
