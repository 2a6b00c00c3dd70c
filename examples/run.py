"""Run an example.

    .venv/bin/python examples/run.py single_page_app [PORT]

The first time this makes what an installation needs, in `examples/<name>/twinlock-data`, with a
user johndoe for those examples that have no users of their own. Remove the folder to begin anew.
"""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

HERE = Path(__file__).resolve().parent
USER = "johndoe"
PASSWORD = "correct horse battery staple"
TUTORIAL = "tutorial_upgraded"
APPS = {TUTORIAL: "after:app", "own_tests": "app:create_app"}
HAVE_OWN_USERS = {"own_users", "fastapi_users"}


def main(arguments: list[str]) -> int:
    """Run what was named until Ctrl-C; return the exit code."""
    names = sorted(path.parent.name for path in HERE.glob("[a-z]*/README.md"))
    name, port, *more = [*arguments, "8000"][:3] if arguments else ("", "")
    if name not in names or more[1:] or not port.isdecimal():
        print(f"{__doc__}\nExamples: {', '.join(names)}", file=sys.stderr)
        return 2
    folder = HERE / name
    address = f"http://localhost:{port}"
    os.environ |= {
        "TWINLOCK_ENVIRONMENT": "development",
        "TWINLOCK_DATA_DIR": str(folder / "twinlock-data"),
        "TWINLOCK_BASE_URL": address,
        "TWINLOCK_PORT": port,
    }
    if not (folder / "twinlock-data").exists():
        furnish(folder)
    print(f"\n{name}: {address}  (see {folder.name}/README.md; Ctrl-C ends it)\n", flush=True)
    try:
        return serve(name, folder, address)
    except KeyboardInterrupt:
        return 0


def furnish(folder: Path) -> None:
    """Make keys and database, and the user."""
    twinlock("init")
    if folder.name == TUTORIAL:
        twinlock("user", "import", str(folder / "before.py"))
        print(f"Sign in as {USER}; the password is: secret, followed by the code of the phone.")
    elif folder.name not in HAVE_OWN_USERS:
        twinlock("user", "create", USER, "--password-stdin", stdin=PASSWORD + "\n")
        print(f"Sign in as {USER}; the password is: {PASSWORD}")


def serve(name: str, folder: Path, address: str) -> int:
    """Run the example, and whatever it needs beside itself."""
    with ExitStack() as beside:
        port = address.rpartition(":")[2]
        if name == "several_services":
            server = beside.enter_context(subprocess.Popen(python("twinlock", "serve"), cwd=folder))
            beside.callback(server.terminate)
            os.environ["ISSUER"], port = address, str(int(port) + 1)
            print(f"The service is at http://localhost:{port}", flush=True)
            app = "service:app"
        else:
            app = APPS.get(name, "app:app")
        words = ["--factory"] * (name == "own_tests")
        command = python("uvicorn", app, "--port", port, *words)
        return subprocess.run(command, cwd=folder, check=False).returncode


def twinlock(*words: str, stdin: str | None = None) -> None:
    """Run a command of Twinlock, or end."""
    done = subprocess.run(python("twinlock", *words), check=False, input=stdin, text=True)
    if done.returncode:
        sys.exit(done.returncode)


def python(module: str, *words: str) -> list[str]:
    """Return the command that runs a module of this environment."""
    return [sys.executable, "-m", module, *words]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
