"""What pages and the passkey module exchange: options one way, a credential the other."""

import json
from collections.abc import Mapping
from typing import Any, Final

from twinlock.pages.forms import Fields
from twinlock.web import strict_json

METHOD: Final = "passkey"


def credential_in(form: Fields) -> object:
    """Return the credential that a form carries; nothing that opens anything where it is none."""
    try:
        return strict_json.loads(form.text("answer").encode())
    except ValueError:
        return ""


def written(options: Mapping[str, Any] | None) -> str:
    """Return options as a page holds them for its module; empty where there are none."""
    return json.dumps(options) if options else ""
