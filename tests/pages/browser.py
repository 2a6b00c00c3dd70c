"""A browser without JavaScript: follows redirects, fills in forms, sends what browsers send."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urljoin

from fastapi.testclient import TestClient
from httpx2 import Response

from tests.support.house import BASE_URL, PASSWORD, Enrolled, House

SITE = "https://localhost:8000"


@dataclass
class FoundForm:
    """A form of a page, with its fields as they stand."""

    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class PageReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[FoundForm] = []
        self.links: list[str] = []
        self.texts: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.inline += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)
        for name in ("href", "src"):
            if name in given:
                self.links.append(given[name])
        if tag == "form":
            self.forms.append(FoundForm(given.get("action", ""), given.get("method", "get")))
        is_box = given.get("type") in {"checkbox", "radio"} and "checked" not in given
        if tag == "input" and self.forms and "name" in given and not is_box:
            self.forms[-1].fields[given["name"]] = given.get("value", "")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


class Browser:
    """What a person does with pages."""

    def __init__(self, client: TestClient, *, language: str = "en") -> None:
        self.client = client
        client.base_url = SITE  # or the client keeps Secure cookies to itself
        self.headers = {"Accept": "text/html", "Accept-Language": language}
        self.page: Response

    @property
    def path(self) -> str:
        """Where the browser is."""
        url = self.page.url
        return url.path + (f"?{url.query.decode()}" if url.query else "")

    @property
    def text(self) -> str:
        """What the page says."""
        return " ".join(" ".join(self.read().texts).split())

    def keep_cookie(self, name: str, value: str) -> None:
        """Hold a cookie as if a page of the site had set it."""
        if name in self.client.cookies:
            self.client.cookies.delete(name)
        self.client.cookies.set(name, value, domain="localhost.local", path="/")

    def read(self) -> PageReader:
        """Return what is in the page."""
        reader = PageReader()
        reader.feed(self.page.text)
        return reader

    def form(self, action: str = "") -> FoundForm:
        """Return the first form that is sent to a path that holds *action*."""
        forms = [form for form in self.read().forms if action in form.action]
        assert forms, self.page.text
        return forms[0]

    def open(self, path: str) -> Response:
        """Open a page."""
        self.page = self.client.get(path, headers=self.headers, follow_redirects=True)
        return self.page

    def send(self, action: str = "", **typed: str) -> Response:
        """Fill in a form and send it, and follow where it leads."""
        form = self.form(action)
        fields = {**form.fields, **typed}
        headers = {**self.headers, "Origin": BASE_URL, "Sec-Fetch-Site": "same-origin"}
        target = urljoin(str(self.page.url), form.action)
        self.page = self.client.post(target, data=fields, headers=headers, follow_redirects=True)
        return self.page

    def sign_in(
        self, name: str = "johndoe", password: str = PASSWORD, *, to: str = "/login"
    ) -> Response:
        """Type name and password."""
        self.open(to)
        return self.send("/login", username=name, password=password)

    def sign_in_fully(self, house: House, enrolled: Enrolled, *, to: str = "/login") -> Response:
        """Sign in with both factors; the clock moves on to a fresh code."""
        house.clock.advance(seconds=30)
        self.sign_in(to=to)
        return self.send("/login/totp", answer=enrolled.phone.code(house.now))
