"""A browser without script: loads pages, fills in their forms as HTML says, and sends them."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin, urlsplit

_TEXTS = frozenset({"title", "h1", "textarea", "option"})


@dataclass
class Form:
    """A form of a page; `fields` are what it would send now, in order."""

    method: str
    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    def set(self, name: str, value: str | None, nth: int = 0) -> None:
        """Fill in the nth field of that name; None unticks a box, and a box that isn't there is ticked."""
        places = [place for place, (key, _) in enumerate(self.fields) if key == name]
        if value is None:
            del self.fields[places[nth]]
        elif not places:
            self.fields.append((name, value))
        else:
            self.fields[places[nth]] = (name, value)

    def place_of(self, name: str, value: str) -> int:
        """Which of the fields `name` has the value: its number among them."""
        return [found for key, found in self.fields if key == name].index(value)


@dataclass
class Page:
    """An answer."""

    status: int
    url: str
    text: str
    headers: Mapping[str, str]
    forms: list[Form] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def form(self, action: str) -> Form:
        return next(form for form in self.forms if urlsplit(form.action).path == action)

    @property
    def message(self) -> str:
        """What the page says went wrong, or was done."""
        return " ".join(" ".join(self.messages).split())


class _Parser(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__()
        self._page = page
        self._form: Form | None = None
        self._name: str | None = None
        self._text: str | None = None
        self._select: list[tuple[str, bool]] | None = None
        self._link: str | None = None
        self._option: tuple[str | None, bool] = (None, False)
        self._collecting = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(given.get("method", "get").upper(), given.get("action", self._page.url))
            self._page.forms.append(self._form)
        elif tag == "a":
            self._link, self._text = given.get("href", ""), ""
        elif tag == "p" and given.get("class") in ("problem", "done"):
            self._collecting, self._text = "message", ""
        elif self._form is not None and tag == "input":
            kind = given.get("type", "text")
            if kind == "checkbox":
                if "checked" in given:
                    self._form.fields.append((given["name"], given.get("value", "on")))
            elif kind != "file":
                self._form.fields.append((given["name"], given.get("value", "")))
        elif self._form is not None and tag == "textarea":
            self._name, self._text = given["name"], ""
        elif self._form is not None and tag == "select":
            self._name, self._select = given["name"], []
        elif tag == "option" and self._select is not None:
            self._option = (given.get("value") if "value" in given else None, "selected" in given)
            self._text = ""
        elif self._form is not None and tag == "button" and "name" in given:
            self._form.buttons.append((given["name"], given["value"]))

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text += data

    def handle_endtag(self, tag: str) -> None:
        text = self._text or ""
        if tag == "form":
            self._form = None
        elif tag == "a" and self._link is not None:
            self._page.links[" ".join(text.split())] = self._link
            self._link = self._text = None
        elif tag == "p" and self._collecting:
            self._page.messages.append(text)
            self._collecting, self._text = "", None
        elif tag == "textarea" and self._form is not None and self._name is not None:
            # HTML drops a line end right after the tag, and sends line ends as CR LF.
            value = text.removeprefix("\n").replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
            self._form.fields.append((self._name, value))
            self._text = None
        elif tag == "option" and self._select is not None:
            told, is_selected = self._option
            self._select.append((text.strip() if told is None else told, is_selected))
            self._text = None
        elif tag == "select" and self._form is not None and self._select and self._name is not None:
            chosen = [value for value, is_selected in self._select if is_selected]
            self._form.fields.append((self._name, chosen[0] if chosen else self._select[0][0]))
            self._select = None


class Visitor:
    """Somebody at a console."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.address = urlsplit(url).netloc

    def get(self, path: str, **params: object) -> Page:
        """The page, after redirects."""
        query = urlencode({name: value for name, value in params.items() if value != ""}, doseq=True)
        return self._follow(self.send("GET", f"{path}?{query}" if query else path))

    def submit(self, form: Form, button: tuple[str, str] | None = None) -> Page:
        """Send the form, and follow where that leads."""
        body = urlencode([*form.fields, *([button] if button else [])])
        if form.method == "GET":
            return self.get(f"{form.action}?{body}")
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": self.url,
            "Sec-Fetch-Site": "same-origin",
        }
        return self._follow(self.send("POST", form.action, body.encode(), headers))

    def upload(self, form: Form, file: bytes) -> Page:
        """Send the form as multipart/form-data, with a file."""
        boundary = "----boundary"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in form.fields
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="seed.jsonl"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
            + file
            + b"\r\n"
        )
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Origin": self.url}
        return self._follow(self.send("POST", form.action, body, headers))

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Page:
        """One request, and its answer as it is."""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        try:
            connection.request(method, path, body or None, dict(headers or {}))
            answer = connection.getresponse()
            text = answer.read().decode("utf-8", "replace")
        finally:
            connection.close()
        page = Page(answer.status, path, text, {name.lower(): value for name, value in answer.getheaders()})
        if "html" in page.headers.get("content-type", ""):
            _Parser(page).feed(text)
        return page

    def _follow(self, page: Page) -> Page:
        if page.status == 303:
            return self.get(urljoin(page.url, page.headers["location"]))
        return page
