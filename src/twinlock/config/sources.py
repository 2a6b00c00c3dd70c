"""Reads what the operator set, and remembers where each value was found.

Environment, then ``.env``, then the folder of secrets, then the TOML file: the first one counts.
A name that begins like ours and is no setting is a problem, since a typing error must not
silently leave a default in force.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PREFIX: Final = "TWINLOCK_"
CONFIG_FILE: Final = PREFIX + "CONFIG_FILE"
SECRETS_DIR: Final = PREFIX + "SECRETS_DIR"
DEFAULT_CONFIG_FILE: Final = "twinlock.toml"
ENV_FILE: Final = ".env"

# Kubernetes gives every container the addresses of the services that its namespace had at the
# start, so that one named `twinlock` or `twinlock-…` writes names like ours.
_SERVICE_LINK: Final = re.compile(
    r"TWINLOCK_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")
_SIMILARITY: Final = 0.7


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one setting.

    Attributes:
        setting: Its name as a variable, or a key as it was written.
        what: A predicate, such as "is not a setting"; nothing of the value.
        place: Where the value was found.
    """

    setting: str
    what: str
    place: str


@dataclass(frozen=True, slots=True)
class Found:
    """A value as it was written, and the place where."""

    value: object = field(repr=False)
    place: str


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that was set outside of the code, by name of the setting."""

    found: Mapping[str, Found]
    problems: tuple[Problem, ...]


def read_outside(names: Collection[str], *, environ: Mapping[str, str], folder: Path) -> Findings:
    """Return what environment, ``.env``, secrets folder and TOML file say about *names*.

    Args:
        names: The settings, in lower case.
        environ: The process environment; also says where the last two sources are.
        folder: Where ``.env`` and ``twinlock.toml`` are looked for.
    """
    reader = _Reader(names)
    reader.take_variables(environ.items(), place="the environment")
    reader.take_env_file(folder / ENV_FILE)
    if secrets_folder := environ.get(SECRETS_DIR):
        reader.take_secrets(folder / Path(secrets_folder).expanduser())
    if config_file := environ.get(CONFIG_FILE):
        reader.take_toml(folder / Path(config_file).expanduser())
    elif (folder / DEFAULT_CONFIG_FILE).is_file():
        reader.take_toml(folder / DEFAULT_CONFIG_FILE)
    return Findings(reader.found, tuple(reader.problems))


def no_such_setting(claimed: str, names: Iterable[str]) -> str:
    """Return the predicate for a name that is none of *names*, with the likeliest one meant."""
    import difflib

    wanted = claimed.lower().removeprefix(PREFIX.lower())
    close = difflib.get_close_matches(wanted, list(names), n=1, cutoff=_SIMILARITY)
    hint = f" (did you mean {PREFIX}{close[0].upper()}?)" if close else ""
    return f"is not a setting{hint}"


class _Reader:
    """Collects from one source after the other; what was found first stays."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names
        self.found: dict[str, Found] = {}
        self.problems: list[Problem] = []

    def take_variables(self, variables: Iterable[tuple[str, str | None]], *, place: str) -> None:
        """Take what begins with our prefix, in any case; empty values count as not set."""
        seen: dict[str, Found] = {}
        for variable, value in variables:
            upper = variable.upper()
            if not upper.startswith(PREFIX) or _is_foreign(upper, value or ""):
                continue
            name = upper.removeprefix(PREFIX).lower()
            if name in seen:
                self._object(upper, "is given twice, in capitals and in small letters", place)
            elif name in self._names:
                seen[name] = Found(value, place)
            elif upper not in {CONFIG_FILE, SECRETS_DIR}:
                self._object(variable, no_such_setting(name, self._names), place)
            elif place == ENV_FILE:
                self._object(upper, "is read from the process environment only", place)
        self._keep({name: found for name, found in seen.items() if found.value})

    def take_env_file(self, path: Path) -> None:
        """Take our names from *path*, which the host's application may share with us."""
        if not path.is_file():
            return
        from dotenv import dotenv_values  # for those who have such a file

        try:
            variables = dotenv_values(path, encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            self._object(ENV_FILE, f"cannot be read ({type(error).__name__})", str(path))
            return
        self.take_variables(variables.items(), place=ENV_FILE)

    def take_secrets(self, folder: Path) -> None:
        """Take the files of *folder* that are named like variables, each holding one value."""
        if not folder.is_dir():
            self._object(SECRETS_DIR, "names no folder", "the environment")
            return
        self.take_variables(self._contents(folder), place="the secrets folder")

    def take_toml(self, path: Path) -> None:
        """Take the keys of *path*: the names of settings in small letters, without the prefix."""
        import tomllib

        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self._object(CONFIG_FILE, "names no file", "the environment")
            return
        except (OSError, ValueError) as error:
            position = re.search(r"\(at .*\)", str(error))
            what = f"is not TOML {position[0]}" if position else "cannot be read as TOML in UTF-8"
            self._object(path.name, what, str(path))
            return
        for key in values.keys() - set(self._names):
            self._object(key, no_such_setting(key, self._names), path.name)
        self._keep({n: Found(v, path.name) for n, v in values.items() if n in self._names})

    def _contents(self, folder: Path) -> Iterator[tuple[str, str]]:
        for file in sorted(folder.iterdir()):
            if not file.name.upper().startswith(PREFIX) or not file.is_file():
                continue
            try:
                yield file.name, file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                what = f"cannot be read ({type(error).__name__})"
                self._object(file.name.upper(), what, "the secrets folder")

    def _keep(self, values: Mapping[str, Found]) -> None:
        self.found = {**values, **self.found}

    def _object(self, setting: str, what: str, place: str) -> None:
        self.problems.append(Problem(setting, what, place))


def _is_foreign(variable: str, value: str) -> bool:
    return _SERVICE_LINK.fullmatch(variable) is not None or (
        variable.endswith("_PORT") and _SERVICE_ADDRESS.match(value) is not None
    )
