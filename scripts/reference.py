"""Write the references of settings, commands, requirements and the Python API from the code.

python scripts/reference.py           writes settings.md, cli.md, python.md and asvs.md
python scripts/reference.py --check   exits with 1 if they are not what would be written
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a file, too

import typer
from pydantic.fields import FieldInfo

from scripts.asvs import asvs_page
from scripts.python_reference import python_page
from twinlock.cli.main import COMMANDS, load
from twinlock.config.explained import variable
from twinlock.config.settings import GROUPS
from twinlock.config.sources import CONFIG_FILE, SECRETS_DIR

ROOT = Path(__file__).resolve().parent.parent

INTRODUCTION = f"""\
# Settings

<!-- Written by scripts/reference.py from src/twinlock/config/groups; do not edit. -->

A setting is looked for in this order, and the first value counts:

1. code: `Twinlock(Settings(port=9000))`;
2. the environment: `TWINLOCK_PORT=9000`;
3. a file `.env` in the working directory, in which names of other programs are left alone;
4. a folder of secrets that `{SECRETS_DIR}` names, one file for each setting
   (`/run/secrets/twinlock_smtp_url`);
5. a TOML file that `{CONFIG_FILE}` names, else `twinlock.toml` in the working
   directory if there is one, with the names in small letters and without the prefix: `port = 9000`.

`twinlock config show` prints every value, secrets masked, and where it comes from;
`twinlock doctor` warns of what is allowed and likely a mistake.

- A name that begins with `TWINLOCK_` and is not listed here stops the start, as does an unknown key
  in the TOML file. (The variables that Kubernetes writes for a service named `twinlock` are left
  alone.)
- Values that are fit for development only stop the start in production.
- An empty value counts as not set.
- A list is written with commas or spaces, or as JSON: `["a", "b"]`.
- A time span is a number of seconds or an ISO 8601 duration of weeks, days, hours, minutes and
  seconds: `600`, `PT10M`, `P1DT12H`.
"""

COMMANDS_INTRODUCTION = """\
# Commands

<!-- Written by scripts/reference.py from src/twinlock/cli; do not edit. -->

`twinlock COMMAND --help` says the same at the terminal, and `python -m twinlock` is `twinlock`.

- Every command reads the [settings](settings.md), and has `--json` for programs.
- Exit codes: 0 done, 1 refused, 2 wrong usage. Results go to standard output, everything else to
  standard error; with `--json` a refusal without a result is `{"error": …}` on standard output.
- Passwords come from a prompt or with `--password-stdin`, never from an argument.
- What cannot be taken back is asked about first at a terminal, and not asked about with `--yes`. A
  script is taken at its word; only `secret rotate --drop-old` wants its `--yes` there as well.
- Commands may be run while servers run: these see what was changed at their next request.
"""


def main(arguments: list[str]) -> int:
    """Write or check every page; return the exit code."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = [path for path, page in PAGES.items() if not is_current(ROOT / path, page())]
    for path in stale:
        if arguments:
            print(f"{path} is stale. Mend it with: python scripts/reference.py", file=sys.stderr)
        else:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(PAGES[path](), encoding="utf-8")
            print(f"wrote {path}")
    return 1 if stale and arguments else 0


def is_current(path: Path, page: str) -> bool:
    """Say whether *path* holds *page*."""
    return path.is_file() and path.read_text(encoding="utf-8") == page


def settings_page() -> str:
    """Return the reference of settings as Markdown."""
    lines = [INTRODUCTION]
    for group in GROUPS:
        lines += [f"## {group.heading}\n"]
        lines += [entry(name, field) for name, field in group.model_fields.items()]
    return "\n".join(lines)


def entry(name: str, field: FieldInfo) -> str:
    """Return what the page says about one setting."""
    facts = [f"Default: {default(field)}.", *limits(field)]
    example = (field.examples or [""])[0]
    return (
        f"### `{variable(name)}`\n\n{field.description}\n\n"
        f"{' '.join(facts)} Example: `{variable(name)}={example}`\n"
    )


def default(field: FieldInfo) -> str:
    """Return the default in words, the same on every machine."""
    value = field.get_default()
    if text := str(extra(field)["default_text"]):
        return text
    if value is None or value == ():
        return "none"
    return spelled(value, extra(field)["unit"])


def limits(field: FieldInfo) -> Iterator[str]:
    """Give what is allowed, as sentences."""
    if get_origin(field.annotation) is Literal:
        choices = " or ".join(f"`{choice}`" for choice in get_args(field.annotation))
        yield f"Allowed: {choices}."
    bounds = {
        name: getattr(limit, name)
        for limit in field.metadata
        for name in ("ge", "le", "max_length")
        if hasattr(limit, name)
    }
    if {"ge", "le"} <= bounds.keys():
        least, most = bounds["ge"], bounds["le"]
        lower = f"{least:,}" if extra(field)["unit"] else spelled(least, "").strip("`")
        yield f"Allowed: {lower} to {spelled(most, extra(field)['unit']).strip('`')}."
    if "max_length" in bounds:
        yield f"At most {bounds['max_length']} characters."


def spelled(value: object, unit: str) -> str:
    """Return a value as a reader understands it."""
    match value:
        case bool():
            return f"`{str(value).lower()}`"
        case timedelta():
            return spelled_span(value)
        case int() if unit:
            return f"{value:,} {unit}"
        case _:
            return f"`{value}`"


def spelled_span(span: timedelta) -> str:
    """Return a time span in its largest whole unit."""
    seconds = int(span.total_seconds())
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds and seconds % length == 0:
            count = seconds // length
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds} second{'' if seconds == 1 else 's'}"


def extra(field: FieldInfo) -> dict[str, Any]:
    """Return what `setting()` noted beside the field."""
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def commands_page() -> str:
    """Return the reference of commands as Markdown."""
    lines = [COMMANDS_INTRODUCTION]
    for name in COMMANDS:
        command = typer.main.get_command(load(name))
        lines.append(f"## `twinlock {name}`\n")
        members = getattr(command, "commands", None)
        if members is None:
            lines.append(described(name, command))
            continue
        lines.append(f"{paragraphs(command.help or COMMANDS[name])}\n")
        for sub, member in members.items():
            lines += [f"### `twinlock {name} {sub}`\n", described(f"{name} {sub}", member)]
    return "\n".join(lines)


def described(path: str, command: Any) -> str:
    """Return what the page says about one command: what it does, how it is called, its options."""
    context = typer.Context(command, info_name=f"twinlock {path}")
    pieces = [piece.strip("{}") for piece in command.collect_usage_pieces(context)]
    usage = " ".join([f"twinlock {path}", *pieces])
    options = [option(one) for one in command.params if not one.hidden]
    listed = "\n".join(options)
    return f"{paragraphs(command.help)}\n\n```\n{usage}\n```\n\n{listed}\n"


def option(parameter: Any) -> str:
    """Return the line of an option or an argument."""
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{metavar(parameter)}`"
    elif not parameter.is_flag:
        names += f" `{metavar(parameter)}`"
    return f"- {names}: {parameter.help or ''}".rstrip(": ")


def metavar(parameter: Any) -> str:
    """Return the word that stands for the value."""
    return str(parameter.metavar or parameter.opts[0].lstrip("-").upper().replace("-", "_"))


def paragraphs(text: str) -> str:
    """Return a help text with its lines joined to paragraphs."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/settings.md": settings_page,
    "docs/reference/cli.md": commands_page,
    "docs/reference/python.md": python_page,
    "docs/reference/asvs.md": asvs_page,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
