"""The words of mails in other languages, read from catalogues without Babel, which pages need."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from twinlock.core.languages import LANGUAGES, SOURCE

FOLDER: Final = Path(__file__).with_name("locale")
_LINE: Final = re.compile(r'(?:(msgid|msgstr) )?("(?:[^"\\]|\\.)*")')


def translated(text: str, language: str) -> str:
    """Return *text* in a language, or as it stands where there is no translation."""
    return _words(language).get(text) or text if language in LANGUAGES else text


@cache
def _words(language: str) -> Mapping[str, str]:
    file = FOLDER / f"{language}.po"
    if language == SOURCE or not file.is_file():
        return {}
    return dict(_entries(file.read_text(encoding="utf-8")))


def _entries(catalogue: str) -> Iterator[tuple[str, str]]:
    for block in catalogue.split("\n\n"):
        found = {"msgid": "", "msgstr": ""}
        name = "msgid"
        for line in block.splitlines():
            if part := _LINE.fullmatch(line):
                name = part[1] or name
                found[name] += ast.literal_eval(part[2])
        yield found["msgid"], found["msgstr"]
