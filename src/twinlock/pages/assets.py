"""Style sheets, modules and pictures: read at the start, named by their digest, kept for ever."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("static")
TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
}
STYLES: Final = "pages.css"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is sent; compressed where that is shorter."""

    media_type: str
    content: bytes = field(repr=False)
    compressed: bytes | None = field(repr=False)


class UnknownPictureError(ValueError):
    """A logo that is neither SVG, PNG nor WebP."""


class Assets:
    """The files of one installation, an operator's style sheet and logo among them."""

    def __init__(self, *, stylesheet: Path | None = None, logo: Path | None = None) -> None:
        """Read the files.

        Args:
            stylesheet: Follows ours and may set any token anew.
            logo: Stands in the place of the mark.

        Raises:
            UnknownPictureError: The logo is no picture that pages show.
            OSError: A file cannot be read.
        """
        self._names: dict[str, str] = {}
        self._assets: dict[str, Asset] = {}
        sheets = [FOLDER / "css" / name for name in ("tokens.css", "app.css")]
        css = b"\n".join(
            file.read_bytes() for file in [*sheets, *([stylesheet] if stylesheet else [])]
        )
        self._add(STYLES, css)
        for file in _ours():
            self._add(file.name, file.read_bytes())
        self.logo: str | None = None
        if logo is not None:
            if logo.suffix not in TYPES or not TYPES[logo.suffix].startswith("image/"):
                raise UnknownPictureError(f"{logo} is neither .svg, .png nor .webp")
            self.logo = f"logo{logo.suffix}"
            self._add(self.logo, logo.read_bytes())

    @property
    def names(self) -> Mapping[str, str]:
        """The name under which each file is served."""
        return self._names

    def get(self, served_as: str) -> Asset | None:
        """Return a file by the name under which it is served."""
        return self._assets.get(served_as)

    def _add(self, name: str, content: bytes) -> None:
        stem, _, suffix = name.rpartition(".")
        served_as = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        compressed = gzip.compress(content, 9, mtime=0)
        self._names[name] = served_as
        self._assets[served_as] = Asset(
            TYPES[f".{suffix}"], content, compressed if len(compressed) < len(content) else None
        )


def _ours() -> Iterator[Path]:
    yield FOLDER / "mark.svg"
    yield from sorted((FOLDER / "js").glob("*.js"))
