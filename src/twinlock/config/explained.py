"""A settings class that knows where each value came from, and says what is wrong with it.

A value given in code counts first, then everything from outside (`config/sources.py`). Whatever is
wrong, in whichever source, becomes one error that names variables and never shows a value.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Final, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from twinlock.config.sources import (
    PREFIX,
    Findings,
    Problem,
    no_such_setting,
    read_outside,
)
from twinlock.config.values import MASK, mask_url, write_duration
from twinlock.core.errors import ConfigurationError

_IN_CODE: Final = "code"
_DEFAULT: Final = "default"
_OUTSIDE: Final = "_outside"
"""The key under which the findings travel to the validator; no setting can be named so."""


def setting(
    default: Any = ...,
    description: str = "",
    *,
    example: str,
    unit: str = "",
    follows: Callable[[dict[str, Any]], Any] | None = None,
    default_text: str = "",
    **limits: Any,
) -> Any:
    """Return a field with what the reference of settings says of it.

    Args:
        default: The default.
        description: What it does, as whole sentences.
        example: A value as one writes it into the environment.
        unit: The unit of a plain number; a time span carries its own.
        follows: Gives the default from the settings above instead of *default*.
        default_text: What the reference says about such a default.
        **limits: ``ge``, ``le``, ``min_length`` …
    """
    facts: dict[str, Any] = {
        "description": description,
        "examples": [example],
        "json_schema_extra": {"unit": unit, "default_text": default_text},
        **limits,
    }
    if follows is not None:
        return Field(default_factory=follows, **facts)
    return Field(default, **facts)


@dataclass(frozen=True, slots=True)
class ShownSetting:
    """A setting as it may be shown: secrets masked, spans in ISO 8601.

    Attributes:
        value: Text, number, truth value, None, or a list of them.
        source: Where it was set: ``default``, ``code``, ``the environment``, ``.env`` …
    """

    value: object
    source: str


class ExplainedSettings(BaseModel):
    """The base of `Settings`: sources, provenance, errors and what may be shown."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
        validate_default=True,
    )

    _places: dict[str, str] = PrivateAttr(default_factory=dict)

    def __init__(self, **given: Any) -> None:
        """Read everything from outside, behind what is given in code."""
        outside = read_outside(
            type(self).model_fields.keys(), environ=os.environ, folder=Path.cwd()
        )
        super().__init__(**given, **{_OUTSIDE: outside})

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, given: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Validate, and turn everything that is wrong into one error for the operator."""
        if not isinstance(given, dict) or _OUTSIDE not in given:
            return validate(given)  # `model_validate` calls `__init__`, which comes by here again
        outside: Findings = given.pop(_OUTSIDE)
        places = {name: found.place for name, found in outside.found.items()}
        places |= dict.fromkeys(given, _IN_CODE)
        problems = list(outside.problems)
        settings = None
        wrong: Iterable[tuple[str, str]]
        try:
            settings = validate({n: f.value for n, f in outside.found.items()} | given)
        except ValidationError as error:
            wrong = map(cls._what_is_wrong, error.errors(include_url=False, include_input=False))
        else:
            wrong = settings.contradictions()
        problems += [
            Problem(variable(name), what, places.get(name, _DEFAULT))
            for name, what in wrong
            if what
        ]
        if problems or settings is None:
            raise ConfigurationError(cls._message(problems))
        settings._places = places
        return settings

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Give what may be seen in a log or a traceback."""
        yield from ((name, _shown(name, getattr(self, name))) for name in type(self).model_fields)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Give what each setting allows and all together do not: a name and a predicate each."""
        yield from ()

    def masked(self) -> dict[str, ShownSetting]:
        """Return every setting by the name of its variable, fit to be shown."""
        return {
            variable(name): ShownSetting(
                _shown(name, getattr(self, name)), self._places.get(name, _DEFAULT)
            )
            for name in type(self).model_fields
        }

    @classmethod
    def _what_is_wrong(cls, error: ErrorDetails) -> tuple[str, str]:
        """Return a name and a predicate, empty for what only follows from another error."""
        name = str(error["loc"][0])
        match error["type"]:
            case "default_factory_not_called":
                return name, ""
            case "extra_forbidden":
                return name, no_such_setting(name, cls.model_fields)
            case "value_error":
                return name, str(error["ctx"]["error"])
            case _:
                message = error["msg"]
                return name, message[max(message.find("should"), 0) :]

    @classmethod
    def _message(cls, problems: Sequence[Problem]) -> str:
        """Say all that is wrong, a line each; names and examples, never values."""
        lines = dict.fromkeys(map(cls._line, problems))
        return "\n".join(["The settings cannot be used as they are:", *lines])

    @classmethod
    def _line(cls, problem: Problem) -> str:
        line = f"  {problem.setting} (from {problem.place}) {problem.what}."
        field = cls.model_fields.get(problem.setting.removeprefix(PREFIX).lower())
        if field is not None and field.examples:
            line += f" Example: {problem.setting}={field.examples[0]}"
        return line


class SettingsGroup(ExplainedSettings):
    """Settings of one theme; `Settings` is made of all groups, and none is used alone.

    Attributes:
        heading: What the reference lists them under.
    """

    model_config = ConfigDict(defer_build=True)

    heading: ClassVar[str]


def variable(name: str) -> str:
    """Return the environment variable of the setting *name*."""
    return PREFIX + name.upper()


def _shown(name: str, value: object) -> object:
    """Return *value* as JSON can hold it and everyone may see it."""
    match value:
        case SecretStr():
            return MASK
        case timedelta():
            return write_duration(value)
        case tuple() | list():
            return [_shown(name, part) for part in value]
        case None | bool() | int():
            return value
        case str() if name.endswith("_url"):
            return mask_url(value)
        case _:
            return str(value)
