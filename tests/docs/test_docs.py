"""The pages under docs/ hold together, and say of the program what is so."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import twinlock
from benchmarks import peers
from twinlock.audit.events import EventType
from twinlock.cli.main import COMMANDS, load
from twinlock.cli.main import app as cli
from twinlock.config.explained import variable
from twinlock.config.settings import Settings
from twinlock.config.sources import CONFIG_FILE, SECRETS_DIR
from twinlock.core.proof import Reason
from twinlock.login_server import create_app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "twinlock"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
UNLISTED = {"adr/template.md"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, *languages: str) -> list[str]:
    """Return the fenced code of some languages."""
    found = re.findall(r"^( *)```(\w+)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [
        "".join(line.removeprefix(indent) for line in code.splitlines(keepends=True))
        for indent, language, code in found
        if language in languages
    ]


def prose(page: Path) -> str:
    """Return a page without its fenced code."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings
    }


def navigated(entries: list[Any]) -> Iterator[str]:
    """Give every page of a navigation."""
    for entry in entries:
        for target in entry.values():
            if isinstance(target, list):
                yield from navigated(target)
            else:
                yield target


@every_page
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)]*))?\)", prose(page))

    broken = []
    for path, anchor in links:
        target = (page.parent / path).resolve() if path else page
        if "…" in path:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append((path, anchor))
    assert broken == []


def test_every_page_is_in_the_navigation() -> None:
    site = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]
    listed = list(navigated(site["nav"]))
    decisions = {f"adr/{path.name}" for path in (DOCS / "adr").glob("[0-9]*.md")}
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}

    assert len(listed) == len(set(listed))
    assert set(listed) == pages - decisions - UNLISTED


@every_page
def test_python_in_pages_compiles_and_imports_what_there_is(page: Path) -> None:
    imported = []
    for code in blocks(page, "python", "py"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module == "twinlock":
                imported += [name.name for name in node.names]

    assert [name for name in imported if name not in twinlock.__all__] == []


def mentioned_commands() -> list[tuple[str, str]]:
    """Return every `twinlock …` of pages and examples: where, and the words after it."""
    found = []
    for page in PAGES:
        typed = re.findall(r"^ *\$ (.*?)(?: #.*)?$", page.read_text(), re.MULTILINE)
        inline = re.findall(r"`([^`\n]+)`", prose(page))
        for text in (*typed, *inline):
            match = re.match(r"(?:[A-Z_]+=\S+ |\.venv/bin/)*twinlock ([a-z][^…]*)", text)
            if match:
                found.append((str(page.relative_to(ROOT)), match[1].strip()))
    return sorted(set(found))


@pytest.mark.parametrize("where, words", mentioned_commands())
def test_commands_in_pages_exist_with_their_options(where: str, words: str) -> None:
    path, *given = words.split()
    assert path in COMMANDS
    command: Any = typer.main.get_command(load(path))
    while given and given[0] in getattr(command, "commands", {}):
        path += f" {given[0]}"
        command = command.commands[given.pop(0)]

    shown = CliRunner().invoke(cli, [*path.split(), "--help"])

    assert shown.exit_code == 0
    if hasattr(command, "commands"):
        assert given == [], f"{where}: {path} has no {given}"
    options = {name for option in command.params for name in option.opts}
    assert {word for word in given if word.startswith("--")} <= options, where


@every_page
def test_settings_in_pages_exist(page: Path) -> None:
    known = {variable(name) for name in Settings.model_fields} | {CONFIG_FILE, SECRETS_DIR}
    named = set(re.findall(r"\bTWINLOCK_[A-Z0-9_]+\b", page.read_text()))

    assert named - known == set()


@every_page
def test_make_targets_in_pages_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):(?!=)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text()))

    assert named <= targets


def test_the_reference_names_every_route_once(tmp_path: Path) -> None:
    settings = Settings(environment="development", data_dir=tmp_path)
    schema = create_app(settings).openapi()
    routes = [
        f"{method.upper()} {path}"
        for path, operations in schema["paths"].items()
        for method in operations
    ]

    headings = re.findall(
        r"^### `([A-Z]+ /\S*)`$", (DOCS / "reference" / "http.md").read_text(), re.MULTILINE
    )

    assert sorted(headings) == sorted(routes)


def error_types() -> set[str]:
    """Return every error type that the source can answer over HTTP."""
    position = {"Refused": 0, "OAuthError": 0, "ProblemError": 1, "problem": 1, "unavailable": 0}
    only_cli = {
        "account_making.py",
        "administration.py",
        "factor_administration.py",
        "importing.py",
    }
    found = set()
    for folder in ("api", "flows", "web"):
        for path in (SOURCE / folder).glob("*.py"):
            if path.name in only_cli:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    at = position.get(node.func.id)
                    if at is not None and len(node.args) > at:
                        value = node.args[at]
                        if isinstance(value, ast.Constant) and isinstance(value.value, str):
                            found.add(value.value)
    return found


def test_the_reference_names_every_error() -> None:
    named = set(re.findall(r"\b[a-z_]+\b", (DOCS / "reference" / "http.md").read_text()))

    assert len(error_types()) > 20
    assert error_types() - named == set()


@pytest.mark.parametrize("heading, expected", [("Types", EventType), ("Reasons", Reason)])
def test_the_reference_names_every_event_and_reason(
    heading: str, expected: type[EventType] | type[Reason]
) -> None:
    page = (DOCS / "reference" / "events.md").read_text()
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]

    named = re.findall(r"^\| `([a-z_.]+)` \|", section, re.MULTILINE)

    assert sorted(named) == sorted(expected)


def test_the_log_inventory_names_every_message_that_the_server_writes() -> None:
    """ASVS 5.0 16.1.1."""
    page = (DOCS / "security.md").read_text().split("## Logs")[1]
    written = set()
    for path in SOURCE.rglob("*.py"):
        written |= set(
            re.findall(
                r"(?:\blog\.(?:warning|error|critical|exception)\(\s*|\bfailed=)\"(\w+)\"",
                path.read_text(),
            )
        )

    assert len(written) > 5
    assert {name for name in written if f"`{name}`" not in page} == set()


def test_the_comparison_is_of_the_versions_that_are_measured() -> None:
    """What is said of a project, and how fast it is, are of one release."""
    page = (DOCS / "comparison.md").read_text()
    pinned = {
        name.partition("[")[0]: release
        for peer in (peers.FASTAPI_USERS, peers.CRUDAUTH, peers.AUTHX, peers.ALLAUTH)
        for name, _, release in (one.partition("==") for one in peer.pinned)
        if name.partition("[")[0].removeprefix("django-") == peer.name
    }

    assert pinned.keys() == {"fastapi-users", "crudauth", "authx", "django-allauth"}
    assert {name for name, release in pinned.items() if f"{release}" not in page} == set()
    assert f"Twinlock {twinlock.__version__}" in page
    assert re.search(r"As of \*\*\d{1,2} [A-Z][a-z]+ 20\d\d\*\*", page)
    assert not re.search(r"×\d", page), "numbers stand in performance.md, where a run writes them"


def test_pages_quote_the_examples_as_they_are() -> None:
    examples = ROOT / "examples"
    upgraded = examples / "tutorial_upgraded"
    moved = blocks(DOCS / "from-the-tutorial.md", "python")
    service = blocks(DOCS / "how-to" / "several-services.md", "python")

    users, app = (ast.unparse(ast.parse(code)) for code in moved)

    assert users in unparsed(upgraded / "before.py")
    assert unparsed(upgraded / "after.py").endswith(app)
    assert service[0] in (examples / "several_services" / "service.py").read_text()


def unparsed(path: Path) -> str:
    """Return the code of a file without comments, in one form."""
    return ast.unparse(ast.parse(path.read_text()))
