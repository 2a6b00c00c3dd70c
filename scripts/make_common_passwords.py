"""Make the list of common passwords that ships with the package.

    python scripts/make_common_passwords.py DJANGO.gz ZXCVBN.json

DJANGO.gz is `django/contrib/auth/common-passwords.txt.gz` out of Django's wheel, ZXCVBN.json is
`src/passwords.json` out of the npm package `@zxcvbn-ts/language-common`. The same inputs give the
same bytes. Their licences are in `src/twinlock/accounts/common_passwords.LICENSE.txt`.
"""

import gzip
import json
import sys
from collections.abc import Iterable
from pathlib import Path

from twinlock.accounts.password_policy import COMMON_PASSWORDS, MIN_LENGTH, plain_form


def entries(passwords: Iterable[str]) -> list[str]:
    """Return the plain forms that are long enough to pass the rule of length, sorted, once each."""
    plain = {plain_form(password.strip("\r\n")) for password in passwords}
    return sorted(password for password in plain if len(password) >= MIN_LENGTH)


def packed(passwords: Iterable[str]) -> bytes:
    """Return the file: one password a line, with a line feed at both ends, compressed."""
    text = "\n" + "".join(f"{password}\n" for password in entries(passwords))
    return gzip.compress(text.encode("utf-8"), compresslevel=9, mtime=0)


def main(arguments: list[str]) -> int:
    """Write the list; return the exit code."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    django, zxcvbn = map(Path, arguments)
    passwords = gzip.decompress(django.read_bytes()).decode("utf-8").split("\n")
    passwords += json.loads(zxcvbn.read_text(encoding="utf-8"))
    COMMON_PASSWORDS.write_bytes(packed(passwords))
    print(f"{len(entries(passwords))} passwords, {COMMON_PASSWORDS.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
