"""Read a page as its reader does: headings, paragraphs, lists, tables and figures in order."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path


@dataclass
class HtmlTable:
    """A table on a page.

    Args:
        title: Heading above it.
        note: What is said below the heading.
        columns: Names.
        rows: Text of the cells.
        links: Address of every cell that leads somewhere, by its text.
    """

    title: str = ""
    note: str = ""
    columns: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)


class HtmlParts(HTMLParser):
    """The parts of a page.

    Attributes:
        tables: In order.
        texts: Tag and text of headings, paragraphs, list items and captions, in order.
        pictures: Alternative text and source of every picture, in order.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tables: list[HtmlTable] = []
        self.texts: list[tuple[str, str]] = []
        self.pictures: list[tuple[str, str]] = []
        self._tag, self._words, self._address = "", "", ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("h1", "h2", "h3", "p", "li", "figcaption", "th", "td"):
            self._tag, self._words, self._address = tag, "", ""
        elif tag == "a":
            self._address = given.get("href") or ""
        elif tag == "img":
            self.pictures.append((given.get("alt") or "", given.get("src") or ""))
        elif tag == "table":
            titles = [text for kind, text in self.texts if kind == "h3"]
            notes = [text for kind, text in self.texts if kind == "p" and "File: " in text]
            self.tables.append(HtmlTable(titles[-1], notes[-1]))
        elif tag == "tr" and self.tables and self.tables[-1].columns:
            self.tables[-1].rows.append([])

    def handle_data(self, data: str) -> None:
        self._words += data

    def handle_endtag(self, tag: str) -> None:
        if tag != self._tag:
            return
        text = " ".join(self._words.split())
        if tag == "th":
            self.tables[-1].columns.append(text)
        elif tag == "td":
            self.tables[-1].rows[-1].append(text)
            if self._address:
                self.tables[-1].links[text] = self._address
        else:
            self.texts.append((tag, text))
        self._tag = ""

    def under(self, heading: str) -> list[tuple[str, str]]:
        """Return the texts between a heading of the second order and the next."""
        start = self.texts.index(("h2", heading)) + 1
        ends = [i for i, (tag, _) in enumerate(self.texts) if tag == "h2" and i >= start]
        return self.texts[start : ends[0] if ends else None]
