"""Every page as it was shown, with the branches of the templates that it went through.

A page's states are the branches of its templates: `Gallery` counts those that were taken, so that
what no visit reaches is known from the templates themselves.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from httpx2 import Response
from jinja2 import nodes

from tests.pages.browser import Browser
from tests.support.house import BASE_URL, House
from twinlock.pages.shown import TEMPLATES, Pages

_SEEN: Final = "_taken"
_FOCUSED: Final = re.compile(r"<[^<>]* autofocus[^<>]*>")
_DESCRIBED: Final = re.compile(r'aria-describedby="([^"]*)"')
Branch = tuple[str, int, int]
"""A template, a line of it, and which of that line's branches."""


@dataclass(frozen=True)
class Shown:
    """A page that somebody saw.

    Attributes:
        taken: The branches that it is made of.
    """

    template: str
    taken: frozenset[Branch]
    url: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def name(self) -> str:
        """What the page and its state are called in a report."""
        return f"{self.template} at {self.url} ({self.status})"

    @property
    def is_heard(self) -> bool:
        """Whether what it says of a denial is read out: focused, or described where one types."""
        html = self.body.decode()
        if 'role="alert"' not in html:
            return True
        focused = _FOCUSED.search(html)
        described = focused and _DESCRIBED.search(focused[0])
        return focused is not None and (
            'id="note"' in focused[0] or bool(described and "note" in described[1].split())
        )


def people_templates() -> set[str]:
    """Return the templates of pages that are not the console's."""
    files = (file.relative_to(TEMPLATES) for file in TEMPLATES.rglob("*.html"))
    return {file.as_posix() for file in files if file.parts[0] != "admin"}


def console_templates() -> set[str]:
    """Return the templates of the console's pages."""
    return {f"admin/{file.name}" for file in (TEMPLATES / "admin").glob("*.html")}


@dataclass
class Gallery:
    """What was shown, each state once."""

    shown: dict[tuple[str, frozenset[Branch]], Shown] = field(default_factory=dict)
    branches: set[Branch] = field(default_factory=set)
    taken: set[Branch] = field(default_factory=set)
    templates: set[str] = field(default_factory=set)
    _made: dict[str, tuple[str, frozenset[Branch]]] = field(default_factory=dict)

    def watch(self, house: House) -> None:
        """Note the branches that the pages of an installation take from now on."""
        pages: Pages = house.app.state.twinlock_pages
        environment = pages._env
        now: set[Branch] = set()

        def taken(*branch: Any) -> str:
            now.add(branch)
            return ""

        parse: Callable[..., nodes.Template] = environment._parse

        def marked(source: str, name: str | None, filename: str | None) -> nodes.Template:
            tree = parse(source, name, filename)
            self.templates.add(str(name))
            self.branches |= set(_mark(tree, str(name)))
            return tree

        render = pages.page

        def page(request: Any, template: str, **given: Any) -> Any:
            now.clear()
            response = render(request, template, **given)
            self._made[bytes(response.body).decode()] = (template, frozenset(now))
            return response

        environment.globals[_SEEN] = taken
        environment._parse = marked  # type: ignore[method-assign]
        pages.page = page  # type: ignore[method-assign]

    def keep(self, response: Response) -> None:
        """Hang up a page that was answered."""
        made = self._made.get(response.text)
        if made is None:
            return
        headers = {
            name: value
            for name, value in response.headers.items()
            if name.lower() not in {"content-length", "set-cookie", "content-encoding"}
        }
        shown = Shown(*made, str(response.url), response.status_code, headers, response.content)
        self.shown.setdefault(made, shown)
        self.taken |= made[1]

    def different(self) -> list[Shown]:
        """Return the pages in which every template and every branch is to be seen, rich ones first.

        What pages share (a note, an icon) is to be seen once.
        """
        chosen: list[Shown] = []
        seen: set[Branch | str] = set()
        for one in sorted(self.shown.values(), key=lambda one: (one.template, -len(one.taken))):
            shows: set[Branch | str] = {one.template, *one.taken}
            if not shows <= seen:
                chosen.append(one)
                seen |= shows
        return chosen

    def parse_all(self, house: House, names: set[str]) -> None:
        """Read these templates, so that those that nobody saw are known as well."""
        environment = house.app.state.twinlock_pages._env
        for name in names:
            source = (TEMPLATES / name).read_text("utf-8")
            environment._parse(source, name, None)


class Visitor(Browser):
    """A browser without JavaScript, whose pages are hung up in a gallery."""

    def __init__(self, house: House, gallery: Gallery, *, ip: str, language: str = "en") -> None:
        super().__init__(house.client(ip), language=language)
        self.house = house
        self.gallery = gallery

    def open(self, path: str) -> Response:
        """Open a page."""
        response = super().open(path)
        self.gallery.keep(response)
        return response

    def send(self, action: str = "", **typed: str) -> Response:
        """Fill in a form and send it."""
        response = super().send(action, **typed)
        self.gallery.keep(response)
        return response

    def post(self, path: str, **fields: str) -> Response:
        """Send a form as a page that was opened earlier would."""
        csrf = self.form().fields["csrf"]
        data = {"csrf": csrf, **fields}
        headers = {**self.headers, "Origin": BASE_URL, "Sec-Fetch-Site": "same-origin"}
        self.page = self.client.post(path, data=data, headers=headers, follow_redirects=True)
        self.gallery.keep(self.page)
        return self.page


def _mark(tree: nodes.Template, name: str) -> Iterator[Branch]:
    """Let each branch of a template tell that it is taken."""
    lines: dict[int, int] = {}

    def marker(line: int) -> tuple[nodes.Node, Branch]:
        lines[line] = lines.get(line, 0) + 1
        branch = (name, line, lines[line])
        values = [nodes.Const(part) for part in branch]
        call = nodes.Call(nodes.Name(_SEEN, "load"), values, [], None, None)
        statement = nodes.ExprStmt(call)
        for node in (statement, *statement.find_all(nodes.Node)):
            node.set_lineno(line)
            node.environment = tree.environment
        return statement, branch

    for one in list(tree.find_all(nodes.If)):
        for body in filter(None, (one.body, one.else_)):
            statement, branch = marker(one.lineno)
            body.insert(0, statement)
            yield branch


def where(branch: Branch) -> str:
    """Return the place of a branch, and the line that stands there."""
    name, line, number = branch
    text = (Path(TEMPLATES) / name).read_text("utf-8").splitlines()[line - 1].strip()
    return f"{name}:{line} ({number}): {text[:150]}"
