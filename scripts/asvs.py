"""The table of OWASP ASVS 5.0: what each requirement is shown by; see docs/asvs.toml."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCE: Final = ROOT / "docs" / "asvs.toml"
VERDICTS: Final = {
    "met": "met",
    "partly": "**partly**",
    "open": "**open**",
    "yours": "yours",
    "n/a": "not applicable",
}
CHAPTERS: Final = {
    "6": "Authentication",
    "7": "Session management",
    "8": "Authorization",
    "9": "Self-contained tokens",
    "10": "OAuth and OIDC",
    "11": "Cryptography",
    "13": "Configuration",
    "14": "Data protection",
    "16": "Security logging and error handling",
}

INTRODUCTION: Final = """\
# OWASP ASVS 5.0

<!-- Written by scripts/reference.py from docs/asvs.toml; do not edit. -->

What the requirements of the chapters that touch Twinlock are shown by: a test that fails when they
are not met, or a section of these pages. The words are a paraphrase; ids and levels are those of
the [standard](https://owasp.org/www-project-application-security-verification-standard/). *Yours*
is what whoever runs it has to do. The table is our own reading: nobody else has assessed it.
"""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement, and what is said of it."""

    id: str
    level: int
    says: str
    verdict: str
    note: str
    shown: tuple[str, ...]


def requirements() -> list[Requirement]:
    """Return all of them, in the order of the standard."""
    told = tomllib.loads(SOURCE.read_text(encoding="utf-8"))
    return [
        Requirement(
            id_,
            one["level"],
            one["says"],
            one["verdict"],
            one.get("note", ""),
            tuple(one.get("shown", ())),
        )
        for id_, one in told.items()
    ]


def problems() -> Iterator[str]:
    """Yield what does not hold: an unknown verdict, nothing shown, or shown by nothing."""
    for one in requirements():
        if one.verdict not in VERDICTS:
            yield f"{one.id}: there is no verdict {one.verdict!r}"
        if one.verdict == "met" and not one.shown:
            yield f"{one.id}: met, and nothing shows it"
        if one.verdict != "met" and not one.note:
            yield f"{one.id}: {one.verdict}, and nothing says why"
        yield from (f"{one.id}: there is no {shown}" for shown in one.shown if not exists(shown))


def exists(shown: str) -> bool:
    """Tell whether there is this test or this section."""
    if "::" in shown:
        path, name = test(shown)
        return path.is_file() and f"def {name}(" in path.read_text(encoding="utf-8")
    name, _, anchor = shown.partition("#")
    page = ROOT / name
    return page.is_file() and anchor in anchors(page)


def test(shown: str) -> tuple[Path, str]:
    """Return the file and the function that ``file::name`` stands for."""
    module, _, name = shown.partition("::")
    return ROOT / "tests" / f"{module}.py", f"test_{name}"


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page can be linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}


def asvs_page() -> str:
    """Return the table as Markdown."""
    all_ = requirements()
    lines = [INTRODUCTION, *summary(all_)]
    for chapter, title in CHAPTERS.items():
        lines += [
            f"\n## {chapter}. {title}\n",
            "| id | level | requirement | | shown by |\n|---|---|---|---|---|",
        ]
        lines += [row(one) for one in all_ if one.id.split(".")[0] == chapter]
    return "\n".join(lines) + "\n"


def summary(all_: list[Requirement]) -> Iterator[str]:
    """Yield how many of each level are met."""
    yield "| level | " + " | ".join(VERDICTS.values()) + " |"
    yield "|---|" + "---|" * len(VERDICTS)
    for level in (1, 2, 3):
        counts = Counter(one.verdict for one in all_ if one.level == level)
        yield f"| {level} | " + " | ".join(str(counts[verdict]) for verdict in VERDICTS) + " |"


def row(one: Requirement) -> str:
    """Return the row of a requirement."""
    said = [one.note] if one.note else []
    said += [link(shown) for shown in one.shown]
    verdict = VERDICTS[one.verdict]
    return f"| {one.id} | {one.level} | {one.says} | {verdict} | {'<br>'.join(said)} |"


def link(shown: str) -> str:
    """Return what leads to a section, or names a test as pytest does."""
    if "::" not in shown:
        page, _, anchor = shown.partition("#")
        title = anchor.replace("-", " ").capitalize()
        return f"[{title}](../{page.removeprefix('docs/')}#{anchor})"
    path, name = test(shown)
    return f"`{path.relative_to(ROOT / 'tests')}::{name}`"
