"""What is in the wheel suffices: installed alone, with the runtime dependencies and nothing else.

The dependencies are those of the lock, from the environment that the tests run in: no download.
"""

import re
import socket
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Iterable
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import httpx2
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import try_wheel

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"
PASSWORD = "correct horse battery staple"
DEVELOPMENT = {"TWINLOCK_ENVIRONMENT": "development", "PATH": "/usr/bin:/bin"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, built as every release is."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the wheel and what it says it needs."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    base = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", base))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    for needed in closure(metadata.get_all("Requires-Dist", [])):
        for path in distribution(needed).files or ():
            top = path.parts[0]
            link = site / top
            if top not in {"..", "__pycache__"} and not link.exists():
                link.symlink_to(Path(str(distribution(needed).locate_file(top))))
    return folder / "bin" / "python"


def closure(requirements: Iterable[str]) -> set[str]:
    """Return the names of all distributions that these ask for, directly or not, here."""
    found: set[str] = set()
    asked: set[tuple[str, str]] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found.add(name)
        for wanted in ("", *requirement.extras):
            if (name, wanted) not in asked:
                asked.add((name, wanted))
                deeper = distribution(name).requires or ()
                waiting += [(Requirement(text), wanted) for text in deeper]
    return found


def test_the_wheel_holds_every_file_of_the_package_and_nothing_else(wheel: Path) -> None:
    expected = {
        str(path.relative_to(SOURCE))
        for path in (SOURCE / "twinlock").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert held == expected
    assert {
        "twinlock/py.typed",
        "twinlock/accounts/common_passwords.txt.gz",
        "twinlock/migrations/script.py.mako",
        "twinlock/migrations/versions/0001_foundation.py",
    } <= held


def test_the_wheel_names_its_program_its_plugin_and_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        texts = {
            name.partition(".dist-info/")[2]: archive.read(name).decode()
            for name in archive.namelist()
            if ".dist-info/" in name
        }

    assert "twinlock = twinlock.cli.main:run" in texts["entry_points.txt"]
    assert "twinlock = twinlock.testing.plugin" in texts["entry_points.txt"]
    assert "MIT" in texts["licenses/LICENSE"]
    assert "Requires-Python: >=3.11" in texts["METADATA"]


def test_the_environment_holds_nothing_of_development(python: Path) -> None:
    """Or the next test would show nothing."""
    program = """
from importlib.util import find_spec
print([name for name in ("pytest", "httpx2", "hypothesis", "twinlock") if find_spec(name)])
"""

    done = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "['twinlock']"


def test_the_first_example_runs_from_the_wheel(python: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(first_example())
    run(python, tmp_path, "init")
    words = ("user", "create", "johndoe", "--password-stdin")
    run(python, tmp_path, *words, stdin=PASSWORD + "\n")
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"http://localhost:{listener.getsockname()[1]}"
    command = [str(python), "-I", "-m", "uvicorn", "--app-dir", ".", "app:app"]

    with (
        listener,
        subprocess.Popen(
            [*command, "--fd", str(listener.fileno())],
            cwd=tmp_path,
            env=DEVELOPMENT,
            pass_fds=[listener.fileno()],
            stderr=subprocess.DEVNULL,
        ) as server,
    ):
        try:
            with httpx2.Client(base_url=address, trust_env=False, timeout=60) as client:
                stranger = client.get("/items")
                form = {"grant_type": "password", "username": "johndoe", "password": PASSWORD}
                tokens = client.post("/token", data=form).raise_for_status().json()
                bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
                owner = client.get("/items", headers=bearer)
        finally:
            server.terminate()

    assert (stranger.status_code, owner.json()) == (401, ["an item of johndoe"])
    assert server.returncode in {0, -15}


@pytest.mark.timeout(600)
def test_the_first_example_runs_on_the_newest_python_there_is() -> None:
    """With dependencies from the package index, as for everybody: some wheels are made for it."""
    newest = try_wheel.newest()
    if try_wheel.release(newest)[:2] == sys.version_info[:2]:
        pytest.skip("no newer Python than this one; the tests above have run on it")

    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "try_wheel.py"), newest],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{newest}: Python 3." in done.stdout


def first_example() -> str:
    """Return the first code that the README shows."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    return code[1]


def run(python: Path, folder: Path, *words: str, stdin: str = "") -> None:
    """Run a command of the installed program."""
    done = subprocess.run(
        [python, "-I", "-m", "twinlock", *words],
        cwd=folder,
        env=DEVELOPMENT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
