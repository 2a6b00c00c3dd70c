"""The languages that pages and mails speak."""

from typing import Final, Literal

Language = Literal["en", "de", "fr", "es", "ja", "ar"]
"""The code of one."""

SOURCE: Final = "en"
"""What stands in the source."""
LANGUAGES: Final = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "ja": "日本語",
    "ar": "العربية",
}
"""By its code, what each calls itself."""
RIGHT_TO_LEFT: Final = frozenset({"ar"})
