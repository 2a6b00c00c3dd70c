"""Every rule of the house reports a planted violation, and lets pass what is allowed."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.check_rules import RULES, check_file, check_tree

ROOT = Path(__file__).parents[2]

VIOLATIONS = [
    ("clock", "sessions/planted.py", "from datetime import datetime, UTC\nt = datetime.now(UTC)"),
    ("clock", "sessions/planted.py", "import datetime as d\nt = d.datetime.utcnow()"),
    ("clock", "sessions/planted.py", "import time as t\nx = t.time_ns"),
    ("clock", "web/planted.py", "from time import monotonic as m\nx = m()"),
    ("clock", "cli/planted.py", "import time\nx = time.perf_counter()"),
    ("clock", "audit/tables.py", "import sqlalchemy as sa\nx = sa.func.now()"),
    ("clock", "db/planted.py", "from datetime import date\nx = date.today()"),
    ("sleep", "core/clock.py", "import time\ntime.sleep(1)"),
    ("sleep", "web/planted.py", "from time import sleep\nsleep(1)"),
    ("transaction", "sessions/planted.py", "with engine.begin(): pass"),
    ("transaction", "flows/planted.py", "tx.commit()"),
    ("transaction", "app.py", "tx.rollback()"),
    ("transaction", "flows/planted.py", "tx.begin_nested()"),
    ("transaction", "flows/planted.py", "database.engine.connect()"),
    ("transaction", "cli/planted.py", "import sqlite3\nsqlite3.connect('x')"),
    ("flow-only", "sessions/planted.py", "database.transaction(print)"),
    ("flow-only", "api/planted.py", "database.transaction_once(print)"),
    ("flow-only", "cli/planted.py", "self.database.reading(print)"),
    ("statement", "sessions/store.py", "import sqlalchemy as sa\ndef f():\n    sa.select(1)"),
    ("statement", "sessions/store.py", "from sqlalchemy import text\nf = lambda: text('x')"),
    ("statement", "sessions/planted.py", "from sqlalchemy import update\nupdate(None)"),
    ("statement", "flows/planted.py", "from sqlalchemy.dialects.sqlite import insert as i\ni(1)"),
    ("statement", "flows/planted.py", "account.insert()"),
    ("statement", "audit/planted.py", "tx.exec_driver_sql('select 1')"),
    ("proof", "flows/planted.py", "from twinlock.core.proof import Verified\nx = Verified(1)"),
    ("proof", "factors/totp/store.py", "from twinlock.core import proof\nx = proof.Verified(1)"),
    ("proof", "factors/totp/factor.py", "from twinlock.core.proof import NoSecondFactor as N\nN()"),
    ("proof", "flows/planted.py", "from twinlock.core import proof\nx = proof.NoSecondFactor()"),
    ("proof", "api/planted.py", "from twinlock.core.proof import TwoFactors\nTwoFactors(1, 2)"),
    ("proof", "web/planted.py", "from twinlock.core.proof import VerifiedPasskey as P\nP()"),
    ("proof", "web/planted.py", "from twinlock.core import proof\nproof.PasswordAndDevice()"),
    ("proof", "sessions/planted.py", "from twinlock.core import proof\nproof.PasswordOnly()"),
    ("proof", "app.py", "from twinlock.core import proof\nx = proof.Continued()"),
    ("proof", "api/planted.py", "from twinlock.core.proof import TwoFactors\nalias = TwoFactors"),
    ("randomness", "sessions/planted.py", "import secrets"),
    ("randomness", "sessions/planted.py", "from random import choice"),
    ("randomness", "sessions/planted.py", "import os\nx = os.urandom(16)"),
    ("randomness", "sessions/planted.py", "from uuid import uuid4\nx = uuid4()"),
    ("empty-init", "flows/__init__.py", "from twinlock.core import clock"),
    ("empty-init", "core/__init__.py", '"""A docstring."""'),
    ("empty-init", "tokens/published/__init__.py", "import json"),
    ("late-import", "flows/planted.py", "def f():\n    import json"),
    ("late-import", "flows/planted.py", "def f():\n    from twinlock.core import clock"),
    ("late-import", "flows/planted.py", "import importlib\nimportlib.import_module('json')"),
    ("top-package", "web/planted.py", "from twinlock import Twinlock"),
    ("top-package", "web/planted.py", "import twinlock"),
    ("no-orm", "sessions/planted.py", "from sqlalchemy import orm"),
    ("no-orm", "sessions/planted.py", "from sqlalchemy.orm import Session"),
    ("no-orm", "db/planted.py", "import sqlalchemy.ext.asyncio"),
    ("synchronous", "flows/planted.py", "async def f(): pass"),
    ("synchronous", "factors/totp/factor.py", "async def f(): pass"),
    (
        "secret-in-source",
        "cli/planted.py",
        "x = '09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4c'",
    ),
    ("secret-in-source", "cli/planted.py", "x = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP'"),
    ("secret-in-source", "cli/planted.py", "x = '-----BEGIN EC PRIVATE KEY-----\\nMHc'"),
]

ALLOWED = [
    ("clock", "core/clock.py", "from datetime import datetime, UTC\nt = datetime.now(UTC)"),
    ("clock", "sessions/planted.py", "def f(time):\n    return time.now"),
    ("transaction", "db/planted.py", "with engine.begin(): pass"),
    ("transaction", "sessions/store.py", "tx.begin_nested()"),
    ("transaction", "web/planted.py", "smtp.connect()"),
    ("flow-only", "flows/planted.py", "database.transaction(print)"),
    ("statement", "sessions/store.py", "import sqlalchemy as sa\nQUERY = sa.select(1)"),
    ("statement", "flows/planted.py", "seen.update(key)"),
    ("statement", "migrations/planted.py", "import sqlalchemy as sa\nf = lambda: sa.text('x')"),
    ("proof", "factors/totp/factor.py", "from twinlock.core import proof\nproof.Verified(1)"),
    (
        "proof",
        "factors/authenticators/store.py",
        "from twinlock.core.proof import *\nNoSecondFactor()",
    ),
    ("proof", "accounts/password_check.py", "from twinlock.core import proof\nproof.Verified()"),
    ("proof", "flows/planted.py", "from twinlock.core.proof import TwoFactors\nTwoFactors(1, 2)"),
    ("proof", "web/planted.py", "match x:\n    case proof.TwoFactors(): pass"),
    ("proof", "web/planted.py", "def f(x: proof.TwoFactors) -> proof.Verified: pass"),
    ("proof", "testing/people.py", "from twinlock.core import proof\nproof.Continued()"),
    ("randomness", "core/secrets.py", "import secrets"),
    ("randomness", "sessions/planted.py", "from twinlock.core import secrets"),
    ("empty-init", "tokens/__init__.py", "x = 1"),
    ("late-import", "cli/planted.py", "def f():\n    import segno"),
    ("late-import", "cli/planted.py", "def f():\n    from twinlock.migrations import runner"),
    ("top-package", "web/planted.py", "from twinlock import __version__"),
    ("top-package", "web/planted.py", "from twinlock import config"),
    ("no-orm", "web/planted.py", "if TYPE_CHECKING:\n    from sqlalchemy.orm import Session"),
    ("synchronous", "web/planted.py", "async def f(): pass"),
    (
        "secret-in-source",
        "cli/planted.py",
        "x = 'urn:twinlock:params:oauth:grant-type:second-factor'",
    ),
    ("secret-in-source", "cli/planted.py", "x = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijk'"),
]

CONTRACTS = [
    ("layers", "core/planted.py", "import twinlock.db.engine"),
    ("layers", "db/planted.py", "import twinlock.accounts.store"),
    ("layers", "sessions/planted.py", "import twinlock.accounts.store"),
    ("layers", "throttle/planted.py", "import twinlock.factors.protocol"),
    ("layers", "flows/planted.py", "import twinlock.web.planted"),
    ("layers", "web/planted.py", "import twinlock.api.planted"),
    ("layers", "api/planted.py", "import twinlock.app"),
    ("layers", "app.py", "import twinlock.cli.planted"),
    ("factors", "factors/protocol.py", "import twinlock.factors.registry"),
    ("factors", "factors/totp/planted.py", "import twinlock.factors.recovery_codes.planted"),
    ("factors", "factors/registry.py", "import twinlock.factors.totp.planted"),
    ("composition", "flows/planted.py", "import twinlock.factors.totp.planted"),
    ("composition", "api/planted.py", "import twinlock.factors.recovery_codes.planted"),
    ("settings", "web/planted.py", "import twinlock.config"),
    ("no-web-below", "flows/planted.py", "import fastapi"),
    ("no-web-below", "factors/totp/planted.py", "import starlette"),
    ("no-web-below", "accounts/planted.py", "import jinja2"),
    ("pure", "core/planted.py", "import sqlalchemy"),
    ("pure", "core/planted.py", "import pydantic"),
    ("pure", "factors/totp/rfc6238.py", "import sqlalchemy"),
    ("pure", "factors/recovery_codes/codes.py", "import twinlock.db.types"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source that a test may spoil."""
    unneeded = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=unneeded)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(tree: Path, place: str, code: str) -> Path:
    """Append *code* to the file at *place*, which need not exist; return the file."""
    file = tree / "src" / "twinlock" / place
    for folder in (file.parent, *file.parent.parents):
        if folder.name == "src":
            break
        folder.mkdir(exist_ok=True, parents=True)
        (folder / "__init__.py").touch()
    with file.open("a", encoding="utf-8") as source:
        source.write(f"\n{code}\n")
    return file


def broken_rules(tree: Path, file: Path) -> set[str]:
    """Return the names of the rules that *file* breaks."""
    return {violation.rule for violation in check_file(file, tree)}


@pytest.mark.parametrize("rule, place, code", VIOLATIONS)
def test_a_planted_violation_is_reported(tree: Path, rule: str, place: str, code: str) -> None:
    file = plant(tree, place, code)

    assert rule in broken_rules(tree, file)


@pytest.mark.parametrize("rule, place, code", ALLOWED)
def test_what_is_allowed_passes(tree: Path, rule: str, place: str, code: str) -> None:
    file = plant(tree, place, code)

    assert rule not in broken_rules(tree, file)


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in VIOLATIONS} == set(RULES)


def test_a_test_that_sleeps_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "tests" / "test_planted.py"
    file.parent.mkdir()
    file.write_text("import asyncio\n\nasync def test():\n    await asyncio.sleep(1)\n")

    assert [str(found).partition(": wait")[0] for found in check_tree(tmp_path)] == [
        "tests/test_planted.py:4: sleep"
    ]


def test_the_command_names_file_line_and_rule_and_fails(tree: Path) -> None:
    plant(tree, "flows/planted.py", "import secrets")
    command = [sys.executable, str(ROOT / "scripts" / "check_rules.py"), str(tree)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "src/twinlock/flows/planted.py:2: randomness: " in done.stdout


def test_the_source_keeps_the_rules() -> None:
    assert [str(violation) for violation in check_tree(ROOT)] == []


@pytest.mark.parametrize("contract, place, code", CONTRACTS)
def test_a_planted_import_breaks_its_contract(
    tree: Path, contract: str, place: str, code: str
) -> None:
    imported = code.removeprefix("import ")
    if imported.endswith(".planted"):
        plant(tree, imported.removeprefix("twinlock.").replace(".", "/") + ".py", "")
    plant(tree, place, code)

    done = lint_imports(tree, contract)

    assert done.returncode == 1
    assert "BROKEN" in done.stdout
    module = "twinlock." + place.removesuffix(".py").replace("/", ".")
    assert module in done.stdout
    assert imported in done.stdout


@pytest.mark.parametrize(
    "contract, place, name",
    [
        ("layers", "utils.py", "twinlock.utils"),
        ("factors", "factors/sms/factor.py", "twinlock.factors.sms"),
    ],
)
def test_a_package_without_a_place_breaks_its_contract(
    tree: Path, contract: str, place: str, name: str
) -> None:
    plant(tree, place, "")

    done = lint_imports(tree, contract)

    assert done.returncode == 1
    assert f"- {name}\n" in done.stdout


def lint_imports(tree: Path, contract: str) -> subprocess.CompletedProcess[str]:
    """Check one import contract over the copy, not over the checkout."""
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [program, "--no-cache", "--no-logo", "--contract", contract],
        cwd=tree,
        env={"PYTHONPATH": str(tree / "src"), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
