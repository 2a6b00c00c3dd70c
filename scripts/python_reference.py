"""Write the reference of the Python API from signatures and docstrings.

What is public is what a package promises by ``__all__``, the contrib modules, and the fixtures of
the pytest plugin. Signatures are shown as they are written in the source.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import twinlock
import twinlock.testing
import twinlock.tokens

SOURCE: Final = Path(inspect.getfile(twinlock)).parent
SECTIONS: Final = ("Args", "Attributes", "Raises", "Returns", "Example")
CALLED: Final = {"CreateUser": "create_user", "Instances": "twinlock_auth", "LoginAs": "login_as"}
"""Classes whose instances tests call, and the fixtures that give one."""
FIRST: Final = (
    "Twinlock", "create_app", "Settings", "CurrentUser", "OptionalUser", "require", "User", "Acr",
    "GuardLayer", "ForwardAuth", "Directory", "DirectoryEntry", "SecurityEvent", "SignedIn",
    "SecondFactorRequired", "EnrollmentRequired", "Throttled", "Denied", "TwinlockError",
)  # fmt: skip
"""What a reader looks for first; everything else follows by its name."""
ELSEWHERE: Final = {
    "Settings": "Every setting is in the [reference of settings](settings.md); as an argument it "
    "loses the prefix and is in small letters: `Settings(port=9000)`."
}
"""Classes whose members are described on another page."""
BESIDE: Final = {"Twinlock": {"second_factor": ("twinlock.api.second_factor", "SecondFactor")}}
"""Attributes whose class is shown behind the one that has them."""

INTRODUCTION: Final = """\
# Python

<!-- Written by scripts/reference.py from signatures and docstrings; do not edit. -->

Everything that Twinlock promises to programs; what is not here may change in any release. All of it
is typed, and the package carries `py.typed`. Times are aware and in UTC, spans are `timedelta`.

- [`twinlock`](#twinlock): the instance, the guards, users and directories
- [`twinlock.tokens`](#twinlocktokens): a service that only verifies
- [`twinlock.testing`](#twinlocktesting): for the tests of applications
- [`twinlock.contrib.sqlalchemy`](#twinlockcontribsqlalchemy): users in a table of your own
- [`twinlock.contrib.fastapi_users`](#twinlockcontribfastapi_users): the drop-in

Whatever a person can cause is a returned value or an HTTP answer. What a programmer or an operator
can cause is an exception below [`TwinlockError`](#twinlockerror).
"""


@dataclass(frozen=True)
class Found:
    """A public name, in the source that defines it."""

    name: str
    node: ast.stmt
    doc: str


def python_page() -> str:
    """Return the reference as Markdown."""
    lines = [INTRODUCTION]
    for package in (twinlock, twinlock.tokens, twinlock.testing):
        lines += [f"## `{package.__name__}`\n", f"{first_line(package.__doc__ or '')}\n"]
        for name in sorted(package.__all__, key=rank):
            lines += entry(find(place_of(package, name), name))
        if package is twinlock.testing:
            lines += fixtures()
    for module in ("sqlalchemy", "fastapi_users"):
        lines += contrib(module)
    return "\n".join(lines)


def rank(name: str) -> tuple[int, str]:
    """Return where a name stands on the page."""
    return (FIRST.index(name) if name in FIRST else len(FIRST), name)


def place_of(package: object, name: str) -> Path:
    """Return the file that defines a public name."""
    places: dict[str, str] = getattr(package, "_PLACES", {"Verifier": "twinlock.web.verifier"})
    return file_of(places[name])


def file_of(module: str) -> Path:
    """Return the file of a module."""
    path = SOURCE.parent / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def find(path: Path, name: str) -> Found:
    """Return what a file defines under *name*."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node, following in zip(body, [*body[1:], ast.Pass()], strict=True):
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef() if node.name == name:
                return Found(name, node, ast.get_docstring(node) or "")
            case ast.Assign(targets=[ast.Name(id=target)]) if target == name:
                return Found(name, node, text_of(following))
            case ast.ImportFrom(module=str(module), names=names) if name in {
                one.name for one in names
            }:
                return find(file_of(module), name)
    raise LookupError(f"{path} defines no {name}")


def text_of(node: ast.stmt) -> str:
    """Return the docstring that stands behind an assignment."""
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
        case _:
            return ""


def entry(found: Found) -> Iterator[str]:
    """Give what the page says about one name."""
    yield f"### `{found.name}`\n"
    match found.node:
        case ast.ClassDef() as node:
            yield from class_entry(found, node)
        case ast.FunctionDef() | ast.AsyncFunctionDef() as node:
            yield code(signature(found.name, node))
            yield described(found.doc)
        case ast.Assign(value=value):
            yield code(f"{found.name} = {ast.unparse(value)}")
            yield described(found.doc)
        case other:
            raise TypeError(f"{found.name} is a {type(other).__name__}")


def inherited(bases: list[str]) -> str:
    """Return what stands behind the name of a class."""
    return f"({', '.join(bases)})" if bases else ""


def class_entry(found: Found, node: ast.ClassDef) -> Iterator[str]:
    """Give a class with its public members."""
    made = next((one for one in functions(node) if one.name == "__init__"), None)
    bases = [ast.unparse(base) for base in node.bases]
    if found.name in ELSEWHERE:
        yield described(found.doc)
        yield f"{ELSEWHERE[found.name]}\n"
        return
    if made is not None:
        yield code(signature(found.name, made))
    elif fields := written_fields(node):
        yield code(f"class {found.name}{inherited(bases)}:\n{fields}")
    elif bases:
        yield code(f"class {found.name}{inherited(bases)}")
    yield described(found.doc)
    if made is not None and (text := ast.get_docstring(made)):
        yield described(text)
    beside = BESIDE.get(found.name, {})
    for member in functions(node):
        is_called = member.name == "__call__" and found.name in CALLED
        if (not member.name.startswith("_") or is_called) and member.name not in beside:
            yield from member_entry(found.name, member)
    for attribute, (module, name) in beside.items():
        other = find(file_of(module), name)
        yield f"#### `{found.name}.{attribute}`\n"
        yield described(other.doc)
        for member in functions(other.node):
            if not member.name.startswith("_"):
                yield from member_entry(f"{found.name}.{attribute}", member)


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(node: ast.stmt) -> list[Function]:
    """Return the functions of a class, in their order."""
    return [one for one in getattr(node, "body", []) if isinstance(one, Function)]


def member_entry(owner: str, member: Function) -> Iterator[str]:
    """Give a method or a property."""
    decorators = {ast.unparse(one) for one in member.decorator_list}
    doc = ast.get_docstring(member) or ""
    if "property" in decorators:
        kind = f": {ast.unparse(member.returns)}" if member.returns is not None else ""
        yield f"#### `{owner}.{member.name}`\n"
        yield code(f"{member.name}{kind}")
    else:
        name = CALLED[owner] if member.name == "__call__" else member.name
        yield f"#### `{name if name != member.name else f'{owner}.{name}'}()`\n"
        context = "async with " if "asynccontextmanager" in decorators else ""
        yield code(context + signature(name, member))
    yield described(doc)


def signature(name: str, node: Function) -> str:
    """Return a signature as it is written, over several lines where it is long."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    shown = [
        parameter(one, value)
        for one, value in zip(positional, defaults, strict=True)
        if one.arg not in {"self", "cls"}
    ]
    if arguments.vararg is not None:
        shown.append(f"*{parameter(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        shown.append("*")
    shown += [
        parameter(one, value)
        for one, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg is not None:
        shown.append(f"**{parameter(arguments.kwarg, None)}")
    result = ""
    if node.returns is not None and node.name != "__init__":
        result = f" -> {ast.unparse(node.returns).strip(chr(39))}"
    prefix = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    prefix = "" if "Iterator" in result else prefix
    line = f"{prefix}{name}({', '.join(shown)}){result}"
    if len(line) <= 88:
        return line
    listed = "".join(f"    {one},\n" for one in shown)
    return f"{prefix}{name}(\n{listed}){result}".replace("    *,\n", "    *,\n")


def parameter(argument: ast.arg, value: ast.expr | None) -> str:
    """Return one parameter."""
    kind = f": {ast.unparse(argument.annotation).strip(chr(39))}" if argument.annotation else ""
    if value is None:
        return argument.arg + kind
    return f"{argument.arg}{kind}{' = ' if kind else '='}{ast.unparse(value)}"


def written_fields(node: ast.ClassDef) -> str:
    """Return the fields of a dataclass, or the values of an enum."""
    lines = []
    for one in node.body:
        match one:
            case ast.AnnAssign(target=ast.Name(id=name)) if not name.startswith("_"):
                hidden = one.value is not None and "field(" not in ast.unparse(one.value)
                value = f" = {ast.unparse(one.value)}" if hidden and one.value else ""
                lines.append(f"    {name}: {ast.unparse(one.annotation)}{value}")
            case ast.Assign(targets=[ast.Name(id=name)]) if name.isupper():
                lines.append(f"    {name} = {ast.unparse(one.value)}")
    return "\n".join(lines)


def described(doc: str) -> str:
    """Return a docstring as Markdown: prose, and lists for its sections."""
    blocks = re.split(rf"^({'|'.join(SECTIONS)}):\n", inspect.cleandoc(doc), flags=re.MULTILINE)
    text = prose(blocks[0])
    for title, indented in zip(blocks[1::2], blocks[2::2], strict=True):
        body = inspect.cleandoc(indented)
        if title == "Example" or not re.match(r"\S[^:\n]*: ", body):
            text += f"\n{prose(body if title == 'Example' else f'{title}: {body}')}"
            continue
        items = re.split(r"^(?=\S[^:\n]*: )", body, flags=re.MULTILINE)
        listed = [one for one in items if one.strip()]
        text += f"\n{title}:\n\n" + "".join(item(one) for one in listed)
    return text


def item(text: str) -> str:
    """Return one entry of a section."""
    name, _, rest = text.partition(": ")
    return f"- `{name.strip('`')}`: {prose(' '.join(rest.split()))}"


def prose(text: str) -> str:
    """Return paragraphs in Markdown."""
    marked = text.replace("``", "`")
    marked = re.sub(r"(?<![*\w])\*([a-z_]\w*)\*(?![*\w])", r"`\1`", marked)
    return f"{marked.strip()}\n"


def first_line(doc: str) -> str:
    """Return the first sentence of a docstring."""
    return prose(doc.split("\n\n", maxsplit=1)[0]).strip()


def code(text: str) -> str:
    """Return a block of code."""
    return f"```text\n{text}\n```\n"


def fixtures() -> Iterator[str]:
    """Give the fixtures of the pytest plugin."""
    yield "### Fixtures\n"
    yield "pytest finds them by itself; see [Test your app](../how-to/test-your-app.md).\n"
    for node in ast.parse(file_of("twinlock.testing.plugin").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.decorator_list:
            kind = ast.unparse(node.returns).replace("'", "") if node.returns else ""
            doc = " ".join((ast.get_docstring(node) or "").split())
            yield f"- `{node.name}` (`{kind}`): {prose(doc).strip()}"
    yield ""


def contrib(name: str) -> Iterator[str]:
    """Give what a contrib module defines."""
    path = file_of(f"twinlock.contrib.{name}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield f"## `twinlock.contrib.{name}`\n"
    yield f"{first_line(ast.get_docstring(tree) or '')}\n"
    for public in promised(tree):
        yield from entry(find(path, public))


def promised(tree: ast.Module) -> list[str]:
    """Return the names of ``__all__``."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                names: list[str] = ast.literal_eval(value)
                return names
            case _:
                pass
    raise LookupError("a module without __all__")
