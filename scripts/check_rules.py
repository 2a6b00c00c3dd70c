"""Hold the rules of the house that neither the linter nor the import contracts can see.

    python scripts/check_rules.py [ROOT]

reads `src/twinlock` and `tests` below ROOT (default: this checkout), prints each violation as
`file:line: rule: what to do`, and exits with 1 if there is one. The rules are listed in `RULES`;
CONTRIBUTING.md gives the reasons.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

CLOCK = {
    "anyio.current_time",
    "datetime.date.today",
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "sqlalchemy.func.current_timestamp",
    "sqlalchemy.func.now",
    "time.gmtime",
    "time.localtime",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.time",
    "time.time_ns",
}
SLEEPS = {"anyio.sleep", "asyncio.sleep", "time.sleep"}
RANDOMNESS = {"os.getrandom", "os.urandom", "ssl.RAND_bytes", "uuid.uuid1", "uuid.uuid4"}
RANDOM_MODULES = {"random", "secrets"}
STATEMENTS = {
    "delete", "except_", "exists", "insert", "intersect", "literal_column", "select", "text",
    "union", "union_all", "update", "values",
}  # fmt: skip
TABLE_METHODS = {"delete", "insert", "select", "update"}
TRANSACTION_METHODS = {"begin", "begin_nested", "commit", "raw_connection", "rollback"}
DATABASE_METHODS = {"reading", "reading_inline", "transaction", "transaction_once"}
PROOFS = {
    "Continued": ["flows/*", "testing/people.py"],
    "NoSecondFactor": ["factors/authenticators/store.py"],
    "PasswordAndDevice": ["flows/*"],
    "PasswordOnly": ["flows/*"],
    "TwoFactors": ["flows/*"],
    "Verified": ["accounts/password_check.py", "factors/*/factor.py"],
    "VerifiedPasskey": ["flows/*"],
}
# What works on the host's own database, whose tables it is told.
HOSTS_OWN = ("contrib/*",)
ORM = ("sqlalchemy.ext.asyncio", "sqlalchemy.ext.declarative", "sqlalchemy.orm")
# Heavy, and most apps never use them: they may be imported where they are needed.
LATE_IMPORTS = (
    "aiosmtplib", "alembic", "argon2", "bcrypt", "dotenv", "httpx2", "jinja2", "opentelemetry",
    "prometheus_client", "psycopg", "rich", "segno", "twinlock.cli", "twinlock.db.wire",
    "twinlock.migrations", "twinlock.pages", "twinlock.telemetry", "twinlock.testing", "uvicorn",
    "webauthn",
    # The standard library's, 1 MiB together: for mails, the service of breached passwords, TOML.
    "difflib", "email", "http.client", "tomllib", "urllib.error", "urllib.request",
)  # fmt: skip
# What an application imports before it starts, and what these leave until it does.
BEFORE_THE_START = ("app.py", "api/routers.py", "web/hooks.py", "web/host_word.py")
AT_THE_START = ("sqlalchemy", "twinlock.api", "twinlock.composition", "twinlock.flows")
# Packages that promise a name to users, and load it when it is first asked for (PEP 562).
PUBLIC_PACKAGES = (
    "__init__.py",
    "contrib/fastapi_users/__init__.py",
    "testing/__init__.py",
    "tokens/__init__.py",
)
SYNCHRONOUS = [
    f"{block}/*"
    for block in (
        "accounts", "audit", "core", "db", "factors", "flows", "installation", "mail", "pending",
        "sessions", "throttle", "tokens",
    )
]  # fmt: skip
# Long, from an alphabet in which keys are written, and of mixed content: not a word of ours.
SECRET = re.compile(
    r"(?=.*\d)(?:[0-9a-f]{32,}|[0-9A-F]{32,}|[A-Z2-7]{32,}|"
    r"(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9+/_-]{40,}={0,2})"
    r"|.*-----BEGIN [A-Z ]*PRIVATE KEY.*",
    re.DOTALL,
)


@dataclass(frozen=True)
class Module:
    """One source file, parsed.

    Attributes:
        path: Where it lies, relative to the root, for messages.
        place: Where it lies below `src/twinlock`, for rules; empty for a test.
        names: What each imported name stands for, e.g. ``{"dt": "datetime.datetime"}``.
    """

    path: PurePosixPath
    place: str
    source: str
    tree: ast.Module
    names: dict[str, str] = field(default_factory=dict)

    def is_in(self, *patterns: str) -> bool:
        """Say whether the file lies in one of *patterns* below `src/twinlock`."""
        return any(fnmatch(self.place, pattern) for pattern in patterns)

    def full_name(self, node: ast.expr) -> str:
        """Return the dotted name that *node* refers to, through the imports; "" if it is none."""
        match node:
            case ast.Name(id=name):
                return self.names.get(name, name)
            case ast.Attribute(value=owner, attr=attr) if name := self.full_name(owner):
                return f"{name}.{attr}"
            case _:
                return ""


@dataclass(frozen=True, order=True)
class Violation:
    """A rule that a line breaks."""

    path: PurePosixPath
    line: int
    rule: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.advice}"


Found = Iterator[tuple[ast.AST, str]]
Rule = Callable[[Module], Found]


def clock(module: Module) -> Found:
    """Read the clock in `core/clock.py` only, and hand it on as `now`."""
    if module.is_in("core/clock.py"):
        return
    for node in references(module):
        if module.full_name(node) in CLOCK:
            yield node, "take `now` as a keyword, or read the clock through core/clock.py"


def sleep(module: Module) -> Found:
    """Block no thread by sleeping, and let no test wait for time to pass."""
    for node in references(module):
        name = module.full_name(node)
        if name == "time.sleep" or (name in SLEEPS and not module.place):
            yield node, "wait for the event itself; in tests move the clock"


def transaction(module: Module) -> Found:
    """Begin and end transactions in `db/` only; a store may set a savepoint."""
    if module.is_in("db/*", *HOSTS_OWN):
        return
    for node in calls(module):
        match node.func:
            case ast.Attribute(attr="begin_nested") if is_store(module):
                pass  # a savepoint around a statement that may meet a constraint
            case ast.Attribute(attr=method) if method in TRANSACTION_METHODS:
                yield node, f"`.{method}(…)`: only db/ begins and ends transactions"
            case ast.Attribute(value=owner, attr="connect") if opens_database(module, owner):
                yield node, "`.connect(…)`: only db/ opens connections to the database"
            case _:
                pass


def opens_database(module: Module, owner: ast.expr) -> bool:
    """Say whether `owner.connect()` would open a database."""
    name = module.full_name(owner).rpartition(".")[2].lower()
    return name.endswith("engine") or name in {"psycopg", "sqlite3"}


def flow_only(module: Module) -> Found:
    """Open transactions in flows; not in blocks, factors, routes or commands."""
    if module.is_in("db/*", "flows/*", "migrations/*", "testing/*"):
        return
    for node in calls(module):
        match node.func:
            case ast.Attribute(attr=method) if method in DATABASE_METHODS:
                yield node, f"`.{method}(…)` is for flows; call a flow instead"
            case _:
                pass


def statement(module: Module) -> Found:
    """Keep SQL in `store.py`, built once, at module level."""
    if module.is_in("db/*", "migrations/*", *HOSTS_OWN):
        return
    inside = {id(node) for function in functions(module) for node in ast.walk(function)}
    for node in calls(module):
        if not builds_statement(module, node):
            continue
        if not is_store(module):
            yield node, "SQL belongs into the store.py of the noun"
        elif id(node) in inside:
            yield node, "a statement is a constant of the module, with bindparams"


def builds_statement(module: Module, call: ast.Call) -> bool:
    """Say whether *call* makes an SQL statement."""
    name = module.full_name(call.func)
    if name.startswith("sqlalchemy.") and name.rpartition(".")[2] in STATEMENTS:
        return True
    match call:
        case ast.Call(func=ast.Attribute(attr="exec_driver_sql")):
            return True
        # `account.insert()`: a dictionary or a hash would be given something to insert.
        case ast.Call(func=ast.Attribute(value=ast.Name(), attr=method), args=[], keywords=[]):
            return method in TABLE_METHODS - {"delete"}
        case _:
            return False


def is_store(module: Module) -> bool:
    """Say whether the file may hold SQL."""
    return module.is_in("*/store.py")


def proof(module: Module) -> Found:
    """Make each proof at the one place that has checked what it says."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=maker):
                name = module.full_name(maker).rpartition(".")[2]
            case ast.Assign(value=ast.Name() | ast.Attribute() as alias):
                name = module.full_name(alias).rpartition(".")[2]
            case _:
                continue
        places = PROOFS.get(name)
        if places and not module.is_in(*places):
            yield node, f"`{name}` is made in {' and '.join(places)} only"


def randomness(module: Module) -> Found:
    """Take randomness from `core/secrets.py`."""
    if module.is_in("core/secrets.py", "core/keyring.py"):
        return
    advice = "take randomness from core/secrets.py, or take the bytes as an argument"
    for node, names in imports(module):
        if RANDOM_MODULES.intersection(name.partition(".")[0] for name in names):
            yield node, advice
    for reference in references(module):
        if module.full_name(reference) in RANDOMNESS:
            yield reference, advice


def empty_init(module: Module) -> Found:
    """Leave every `__init__.py` empty but those that promise a name to users."""
    if module.is_in(*PUBLIC_PACKAGES):
        return
    if module.is_in("*/__init__.py") and module.source.strip():
        yield module.tree, "leave it empty; import names from where they are defined"


def late_import(module: Module) -> Found:
    """Import at the top, but for what is heavy and seldom used."""
    if module.is_in(*PUBLIC_PACKAGES):
        return
    late = LATE_IMPORTS + (AT_THE_START if module.is_in(*BEFORE_THE_START) else ())
    inside = {id(node) for function in functions(module) for node in ast.walk(function)}
    for node, names in imports(module):
        if id(node) in inside and not all(is_below(name, late) for name in names):
            yield node, "move it to the top; only heavy and optional modules are imported late"
    for call in calls(module):
        if module.full_name(call.func) in {"__import__", "importlib.import_module"}:
            yield call, "import by statement, so that the contracts can see it"


def top_package(module: Module) -> Found:
    """Never import the public names from inside: it would lead past every import contract."""
    if module.is_in("__main__.py"):
        return
    for node, names in imports(module):
        for name in names:
            if name == "twinlock" or (name.count(".") == 1 and is_public(name)):
                yield node, "import from the module that defines it, not from the public package"


def is_public(name: str) -> bool:
    """Say whether ``twinlock.X`` is a name of the public package and not a module."""
    package, _, last = name.partition(".")
    return package == "twinlock" and last != "__version__" and not (last.islower() or "_" in last)


def no_orm(module: Module) -> Found:
    """Keep the ORM out; only adapters may name a host's session, and type checkers."""
    if module.is_in("contrib/*"):
        return
    unseen = {id(node) for block in type_checking_blocks(module) for node in ast.walk(block)}
    for node, names in imports(module):
        if id(node) not in unseen and any(is_below(name, ORM) for name in names):
            yield node, "SQLAlchemy Core only; the ORM is not imported"


def synchronous(module: Module) -> Found:
    """Keep the inside synchronous; async lives in web, api, pages and app."""
    if not module.is_in(*SYNCHRONOUS):
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield node, "no async inside: core, db, blocks, factors and flows are plain functions"


def secret_in_source(module: Module) -> Found:
    """Write no key, seed or token into the source."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Constant(value=str(text)) if looks_secret(text):
                yield node, "this looks like a key or token; secrets come from outside"
            case _:
                pass


def looks_secret(text: str) -> bool:
    """Say whether *text* has the form of a key; an alphabet, in which nothing repeats, has not."""
    return len(set(text)) < len(text) and SECRET.fullmatch(text) is not None


RULES: dict[str, Rule] = {
    "clock": clock,
    "empty-init": empty_init,
    "flow-only": flow_only,
    "late-import": late_import,
    "no-orm": no_orm,
    "proof": proof,
    "randomness": randomness,
    "secret-in-source": secret_in_source,
    "sleep": sleep,
    "statement": statement,
    "synchronous": synchronous,
    "top-package": top_package,
    "transaction": transaction,
}
RULES_OF_TESTS = {"sleep": sleep}


def references(module: Module) -> Iterator[ast.expr]:
    """Yield every use of a name or an attribute, called or not."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name | ast.Attribute):
            yield node


def calls(module: Module) -> Iterator[ast.Call]:
    """Yield every call."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            yield node


def functions(module: Module) -> Iterator[ast.AST]:
    """Yield everything whose body runs later than the module's."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node


def type_checking_blocks(module: Module) -> Iterator[ast.AST]:
    """Yield the blocks that only a type checker reads."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.If) and module.full_name(node.test).endswith("TYPE_CHECKING"):
            yield node


def imports(module: Module) -> Iterator[tuple[ast.stmt, list[str]]]:
    """Yield every import with the full names of what it brings in."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Import(names=aliases):
                yield node, [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(origin), names=aliases, level=0):
                yield node, [f"{origin}.{alias.name}" for alias in aliases]
            case _:
                pass


def is_below(name: str, packages: tuple[str, ...]) -> bool:
    """Say whether *name* is one of *packages* or lies inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def imported_names(tree: ast.Module) -> dict[str, str]:
    """Return what every imported name stands for, wherever in the file it is imported."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    top = alias.name.partition(".")[0]
                    names[alias.asname or top] = alias.name if alias.asname else top
            case ast.ImportFrom(module=str(origin), names=aliases):
                names |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in aliases}
            case _:
                pass
    return names


def read_module(file: Path, root: Path) -> Module:
    """Parse *file*.

    Raises:
        SyntaxError: It is not Python.
    """
    path = PurePosixPath(file.relative_to(root).as_posix())
    place = path.relative_to("src/twinlock").as_posix() if path.parts[0] == "src" else ""
    source = file.read_text(encoding="utf-8")
    tree = ast.parse(source, filename=str(path))
    return Module(path, place, source, tree, imported_names(tree))


def check_file(file: Path, root: Path) -> Iterator[Violation]:
    """Yield what *file* breaks."""
    module = read_module(file, root)
    for name, rule in (RULES if module.place else RULES_OF_TESTS).items():
        for node, advice in rule(module):
            yield Violation(module.path, getattr(node, "lineno", 1), name, advice)


def check_tree(root: Path) -> list[Violation]:
    """Return every violation below *root*, in the order of files and lines."""
    files = [*(root / "src" / "twinlock").rglob("*.py"), *(root / "tests").rglob("*.py")]
    return sorted({violation for file in files for violation in check_file(file, root)})


def main(arguments: list[str]) -> int:
    """Print every violation; return the exit code."""
    root = Path(arguments[0]) if arguments else Path(__file__).parent.parent
    violations = check_tree(root.resolve())
    for violation in violations:
        print(violation)
    if violations:
        print(f"{len(violations)} violations of the rules of the house", file=sys.stderr)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
