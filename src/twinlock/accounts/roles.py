"""What a role may be called: one word, because roles are stored and compared as words."""

import re
from typing import Final

MAX_ROLE: Final = 64  # characters
MAX_ROLES: Final = 32  # of one account

_ROLE: Final = re.compile(rf"[A-Za-z][A-Za-z0-9_.:/-]{{0,{MAX_ROLE - 1}}}")


def role_problem(role: str) -> str | None:
    """Return why *role* cannot be given to anybody, as a sentence, or None.

    A role with a space in it would be stored as two: "staff admin" is no role of one account.
    """
    if _ROLE.fullmatch(role):
        return None
    return (
        f"A role begins with a letter and has at most {MAX_ROLE} letters, digits "
        "and _ . : / - in ASCII."
    )
