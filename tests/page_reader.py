"""What is on a page, counted: its tags, links and texts, as an HTML parser sees them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link"}


@dataclass
class Tag:
    """One tag of the page, and where it stands."""

    name: str
    attributes: dict[str, str]
    inside: tuple[str, ...]
    """The tags around it with their classes, such as 'div.broad', the outermost first."""
    text: str = ""
    """Of it and of all that is inside."""


@dataclass
class _Reader(HTMLParser):
    tags: list[Tag] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.open: list[Tag] = []
        self.unbalanced: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        around = tuple(f"{one.name}.{one.attributes.get('class', '')}" for one in self.open)
        made = Tag(tag, attributes, around)
        self.tags.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop().name != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        for one in self.open:
            one.text += data


@dataclass(frozen=True)
class Page:
    """A page that was read."""

    source: str
    tags: tuple[Tag, ...]

    def of(self, name: str, *, inside: str = "", **attributes: str) -> list[Tag]:
        """The tags of that name, those inside of another and with these attributes only ('class_' is class)."""
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [
            tag
            for tag in self.tags
            if tag.name == name
            and (not inside or inside in tag.inside)
            and all(tag.attributes.get(key) == value for key, value in wanted.items())
        ]

    def texts(self, name: str, **attributes: str) -> list[str]:
        return [" ".join(tag.text.split()) for tag in self.of(name, **attributes)]

    @property
    def ids(self) -> Counter[str]:
        return Counter(tag.attributes["id"] for tag in self.tags if "id" in tag.attributes)


def read(source: bytes) -> Page:
    """The page; AssertionError where its tags do not close as they should."""
    text = source.decode("utf-8")
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert not reader.unbalanced, reader.unbalanced
    assert not reader.open, [tag.name for tag in reader.open]
    return Page(text, tuple(reader.tags))
