"""What the documents say of the repository is true of it."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "twinlock"
DOCUMENTS = sorted(
    path for folder in (ROOT, ROOT / "docs", ROOT / "docs" / "adr") for path in folder.glob("*.md")
)


def named_files(document: Path) -> list[str]:
    """Return every path in backticks that has an ending."""
    return re.findall(
        r"`([\w./-]+/[\w.-]+\.\w+|Makefile|\w+\.(?:py|toml|lock))`", document.read_text()
    )


def test_the_map_leads_to_files_that_exist() -> None:
    named = named_files(ROOT / "docs" / "map.md")

    missing = [name for name in named if not any((base / name).exists() for base in (ROOT, SOURCE))]

    assert len(named) > 50
    assert missing == []


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    decisions = sorted(path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))

    assert re.findall(r"\((\d{4}-[\w-]+\.md)\)", index) == decisions


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)[^)]*\)", document.read_text())

    assert [
        link for link in links if "…" not in link and not (document.parent / link).exists()
    ] == []


def test_the_glossary_is_in_order_and_has_a_source_for_each_word() -> None:
    rows = re.findall(
        r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$",
        (ROOT / "docs" / "glossary.md").read_text(),
        re.MULTILINE,
    )
    words = [word for word, _, _ in rows if word != "word"]

    assert words == sorted(words, key=str.casefold)
    assert len(words) == len(set(words))


def test_every_make_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z-]+):(?!=)", makefile, re.MULTILINE)
    explained = re.findall(r"^([a-z-]+):.* ## \S", makefile, re.MULTILINE)

    assert set(targets) - set(explained) == {"system"}


def test_the_lock_names_no_registry() -> None:
    lock = (ROOT / "requirements.lock").read_text()

    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links", lock)


def test_every_runtime_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = set(
        re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    )
    wanted = {
        re.split(r"[\[><=;]", line)[0]
        for line in (
            *project["dependencies"],
            *(line for extra in project["optional-dependencies"].values() for line in extra),
        )
    }

    assert wanted <= locked
