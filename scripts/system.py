"""Find the programs that the tests need beside Python, and install what is missing.

    python scripts/system.py [--check]

The tests use PostgreSQL and nginx, as judges that are not ours `oathtool` (codes) and `zbarimg` (QR
codes), and where they drive a browser, Chromium. Missing ones come from the system's own package
manager if it may be used without a question; with `--check`, or if not, the answer is what to
type. Needs nothing but Python itself.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POLICY = Path("/usr/sbin/policy-rc.d")
NO_SERVICES = "#!/bin/sh\n# Written by Twinlock's scripts/system.py: start no services.\nexit 101\n"
CLUSTERS = Path("/etc/postgresql-common/createcluster.conf")
NO_CLUSTER = (
    "# Written by Twinlock's scripts/system.py: programs only.\ncreate_main_cluster = false\n"
)
WITHOUT = "`make test-fast` runs everything that does without them."


@dataclass(frozen=True)
class Need:
    """A program that the tests run.

    Attributes:
        name: What a person calls it.
        is_there: Says whether it is installed.
        packages: Its package, by package manager.
    """

    name: str
    is_there: Callable[[], bool]
    packages: dict[str, str]


def postgres_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`, the newest if there are several."""
    pg_ctl = shutil.which("pg_ctl")
    if pg_ctl and shutil.which("initdb"):
        return Path(pg_ctl).resolve().parent
    places = {
        "/usr/lib/postgresql": "*/bin/initdb",
        "/usr/libexec": "postgresql*/initdb",
        "/opt/homebrew/opt": "postgresql*/bin/initdb",
        "/usr/local/opt": "postgresql*/bin/initdb",
    }
    found = [file.parent for place, name in places.items() for file in Path(place).glob(name)]
    return max(found, key=version_in, default=None)


def version_in(folder: Path) -> float:
    """Return the version that the path of a PostgreSQL *folder* holds, 0 if none."""
    version = re.search(r"postgresql\D*(\d+(?:\.\d+)?)", folder.as_posix())
    return float(version[1]) if version else 0


def has_chromium() -> bool:
    """Say whether a Chromium can be started from here."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    mac = Path("/Applications/Chromium.app")
    return mac.exists() or any(shutil.which(name) for name in names if name)


def nginx_program() -> str | None:
    """Return nginx, which Debian puts where only administrators look."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def has_pip() -> bool:
    """Say whether `.venv` can be made: with uv, or with Python's own pip."""
    return bool(shutil.which("uv") or importlib.util.find_spec("ensurepip"))


def needs() -> list[Need]:
    """Return what the tests of this checkout need."""
    python = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    found = [
        Need("Python's ensurepip", has_pip, {"apt-get": python}),
        Need(
            "PostgreSQL server",
            lambda: postgres_programs() is not None,
            {
                "apt-get": "postgresql",
                "dnf": "postgresql-server",
                "apk": "postgresql",
                "brew": "postgresql@17",
            },
        ),
        Need(
            "oathtool",
            lambda: shutil.which("oathtool") is not None,
            {
                "apt-get": "oathtool",
                "dnf": "oathtool",
                "apk": "oath-toolkit-oathtool",
                "brew": "oath-toolkit",
            },
        ),
        Need(
            "zbarimg",
            lambda: shutil.which("zbarimg") is not None,
            {"apt-get": "zbar-tools", "dnf": "zbar", "apk": "zbar", "brew": "zbar"},
        ),
        Need(
            "nginx",
            lambda: nginx_program() is not None,
            {"apt-get": "nginx-light", "dnf": "nginx", "apk": "nginx", "brew": "nginx"},
        ),
    ]
    if has_browser_tests():
        packages = dict.fromkeys(("apt-get", "dnf", "apk", "brew"), "chromium")
        found.append(Need("Chromium", has_chromium, packages))
    return found


def has_browser_tests() -> bool:
    """Say whether any test drives a browser, and so whether one is needed."""
    tests = (ROOT / "tests").rglob("test_*.py")
    return any("mark.browser" in test.read_text(encoding="utf-8") for test in tests)


def package_manager() -> str | None:
    """Return the system's package manager, or None if we know none here."""
    known = ("apt-get", "dnf", "apk", "brew")
    return next((name for name in known if shutil.which(name)), None)


def may_install(manager: str) -> bool:
    """Say whether *manager* works for us without a question."""
    if manager == "brew" or os.geteuid() == 0:
        return True
    if shutil.which("sudo") is None:
        return False
    asked = subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True)
    return asked.returncode == 0


def install_commands(manager: str, packages: list[str]) -> list[list[str]]:
    """Return the commands that install *packages*, in order; the last one decides.

    An old index may still do, so `apt-get update` may fail.
    """
    if manager == "apt-get":
        quietly = ["-y", "-qq", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300"]
        answers = ["DEBIAN_FRONTEND=noninteractive", "UCF_FORCE_CONFFOLD=1"]
        install = ["env", *answers, "apt-get", "install", *quietly]
        return [["apt-get", "update", "-qq"], [*install, *packages]]
    options = {"dnf": ["install", "-y", "-q"], "apk": ["add", "-q"], "brew": ["install", "-q"]}
    return [[manager, *options[manager], *packages]]


def install(manager: str, packages: list[str]) -> bool:
    """Install *packages*; return whether that worked."""
    sudo = [] if manager == "brew" or os.geteuid() == 0 else ["sudo", "-n"]
    is_apt = manager == "apt-get"
    written = [
        file
        for file, text in ((CLUSTERS, NO_CLUSTER), (POLICY, NO_SERVICES))
        if is_apt and write(sudo, file, text)
    ]
    try:
        codes = [run([*sudo, *command]) for command in install_commands(manager, packages)]
    finally:
        for file in written:
            run([*sudo, "rm", "-f", str(file)])
    return codes[-1] == 0


def run(command: list[str]) -> int:
    """Run *command* without asking anything, show only its complaints; return its exit code."""
    say(" ".join(command))
    quiet = subprocess.DEVNULL
    return subprocess.run(command, stdin=quiet, stdout=quiet, check=False).returncode


def write(sudo: list[str], file: Path, text: str) -> bool:
    """Keep Debian's packages from starting servers; say whether we wrote a file for it.

    A machine that already has the file has its own mind about them.
    """
    if file.exists():
        return False
    subprocess.run([*sudo, "mkdir", "-p", str(file.parent)], check=True)
    subprocess.run(
        [*sudo, "tee", str(file)], input=text.encode(), stdout=subprocess.DEVNULL, check=True
    )
    subprocess.run([*sudo, "chmod", "755", str(file)], check=True)
    return True


def main(arguments: list[str]) -> int:
    """Make sure that everything is there; return the exit code."""
    missing = [need for need in needs() if not need.is_there()]
    if not missing:
        return 0
    manager = package_manager()
    packages = [need.packages[manager] for need in missing if manager and manager in need.packages]
    names = ", ".join(need.name for need in missing)
    if manager is None:
        return fail(f"missing: {names}. Install them with your system's tools. {WITHOUT}")
    if "--check" in arguments or not may_install(manager):
        return fail(f"missing: {names}. Type\n{advice(manager, packages)}\n{WITHOUT}")
    say(f"missing: {names}. Installing them with {manager}.")
    if not install(manager, packages):
        return fail(f"{manager} failed. Try\n{advice(manager, packages)}\n{WITHOUT}")
    left = [need.name for need in missing if not need.is_there()]
    if left:
        return fail(f"installed, but still not found: {', '.join(left)}. {WITHOUT}")
    return 0


def advice(manager: str, packages: list[str]) -> str:
    """Return what a person should type."""
    sudo = "" if manager == "brew" or os.geteuid() == 0 else "sudo "
    return f"    {sudo}{manager} {'add' if manager == 'apk' else 'install'} {' '.join(packages)}"


def say(message: str) -> None:
    """Tell the person in front of it what happens."""
    print(f"system: {message}", flush=True)


def fail(message: str) -> int:
    """Tell what is missing and return the exit code for it."""
    print(f"system: {message}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
