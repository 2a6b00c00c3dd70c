"""The words of the pages: catalogues compiled in memory, and which one a browser wants."""

import io
from collections.abc import Mapping
from functools import cache
from gettext import GNUTranslations, NullTranslations
from pathlib import Path
from typing import Final

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from twinlock.core.languages import LANGUAGES, SOURCE

FOLDER: Final = Path(__file__).with_name("locale")
_MAX_HEADER: Final = 256


def mark(text: str) -> str:
    """Return *text*, which is translated where it is shown; the extraction of texts finds it."""
    return text


@cache
def catalogues() -> Mapping[str, NullTranslations]:
    """Return one catalogue for each language; English is what stands in the templates."""
    found: dict[str, NullTranslations] = {SOURCE: NullTranslations()}
    for language in LANGUAGES:
        file = FOLDER / f"{language}.po"
        if language == SOURCE or not file.is_file():
            continue
        with file.open("rb") as stream:
            catalogue = read_po(stream, locale=language)
        compiled = io.BytesIO()
        write_mo(compiled, catalogue)
        compiled.seek(0)
        found[language] = GNUTranslations(compiled)
    return found


def language_for(accepted: str, *, otherwise: str = SOURCE) -> str:
    """Return the language of ours that an ``Accept-Language`` header likes best."""
    wanted: list[tuple[float, str]] = []
    for part in accepted[:_MAX_HEADER].split(","):
        tag, _, weight = part.strip().partition(";")
        language = tag.strip().partition("-")[0].lower()
        if language in catalogues():
            wanted.append((_weight(weight), language))
    best = max(wanted, key=lambda one: one[0], default=(0.0, otherwise))
    return best[1] if best[0] > 0 else otherwise


def _weight(text: str) -> float:
    name, _, value = text.strip().partition("=")
    if not name:
        return 1.0
    try:
        return min(1.0, max(0.0, float(value))) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0
