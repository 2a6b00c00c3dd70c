"""Find the texts of pages and mails, and hold the catalogues against them.

    python scripts/messages.py [--check]

writes every text that a catalogue of pages or mails (`locale`) lacks into it, untranslated, and
takes out those that are gone; `--check` changes nothing and exits with 1 if a catalogue is not
complete.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from twinlock.mail import letters

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "src" / "twinlock" / "pages"
MAIL = ROOT / "src" / "twinlock" / "mail"
BOOKS = (PAGES, MAIL)
LANGUAGES = ("de", "fr", "es", "ja", "ar")
KEYWORDS = {"_": None, "mark": None, "ngettext": (1, 2)}
METHODS = [("**.py", "python"), ("**.html", "jinja2")]
OPTIONS = {"**.html": {"silent": "false", "trim_blocks": "true", "lstrip_blocks": "true"}}

# Headers that change with every run, or say nothing.
_DROPPED = (
    b'"POT-Creation-Date', b'"PO-Revision-Date', b'"Last-Translator', b'"Language-Team',
    b'"Report-Msgid-Bugs-To',
)  # fmt: skip

Message = str | tuple[str, ...]


def messages(book: Path = PAGES) -> Iterator[Message]:
    """Return every text of the pages, or of the mails, once."""
    found: dict[Message, None] = {}
    if book == MAIL:
        yield from dict.fromkeys(letters.texts())
        return
    for _, _, text, _, _ in extract_from_dir(
        PAGES, METHODS, OPTIONS, KEYWORDS, strip_comment_tags=True
    ):
        found[tuple(text) if isinstance(text, (list, tuple)) else text] = None
    yield from found


def catalogue_of(language: str, book: Path = PAGES) -> Catalog:
    """Return what there is in a language."""
    file = book / "locale" / f"{language}.po"
    if not file.exists():
        return Catalog(locale=language)
    with file.open("rb") as stream:
        return read_po(stream, locale=language)


def missing(language: str, book: Path = PAGES) -> list[Message]:
    """Return the texts that a language lacks."""
    catalogue = catalogue_of(language, book)
    return [text for text in messages(book) if not is_complete(catalogue, text)]


def is_complete(catalogue: Catalog, text: Message) -> bool:
    """Say whether a text is translated, in all numbers that the language has."""
    entry = catalogue.get(text if isinstance(text, str) else text[0])
    if entry is None or entry.fuzzy:
        return False
    if isinstance(text, str):
        return bool(entry.string)
    numbers = entry.string or ()
    return len(numbers) == catalogue.num_plurals and all(numbers)


def update(language: str, book: Path = PAGES) -> None:
    """Write the texts of now into a catalogue, with the translations that it has."""
    old = catalogue_of(language, book)
    new = Catalog(
        locale=language, project="Twinlock", version="main", header_comment="", fuzzy=False
    )
    for text in sorted(messages(book), key=str):
        known = old.get(text if isinstance(text, str) else text[0])
        new.add(text, known.string if known else "")
    written = io.BytesIO()
    write_po(written, new, width=100, sort_output=True)
    lines = [line for line in written.getvalue().splitlines() if not line.startswith(_DROPPED)]
    (book / "locale" / f"{language}.po").write_bytes(b"\n".join(lines).strip() + b"\n")


def main(arguments: list[str]) -> int:
    """Check or update every catalogue."""
    lacking: list[str] = []
    for book in BOOKS:
        for language in LANGUAGES:
            if "--check" not in arguments:
                update(language, book)
            lacking += [f"{book.name}/{language}: {text!r}" for text in missing(language, book)]
    print(*lacking, sep="\n", file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
