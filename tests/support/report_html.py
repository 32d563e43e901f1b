"""``report.html`` read back, as a browser and the script in the page read it."""

import base64
import html
import io
import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def text_of(markup: str) -> str:
    """Return what is read of some HTML."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", markup)).split())


@dataclass(frozen=True)
class ReportPage:
    """A page that a run has left.

    Args:
        path: Of the page.
    """

    path: Path

    @cached_property
    def html(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def content(self) -> dict[str, Any]:
        """What the script shows."""
        (found,) = re.findall(
            r'<script type="application/json" id="content">(.*?)</script>', self.html
        )
        content: dict[str, Any] = json.loads(found)
        return content

    @property
    def title(self) -> tuple[str, str]:
        """Of the window, and the heading."""
        found = [re.findall(f"<{tag}>(.*?)</{tag}>", self.html)[0] for tag in ("title", "h1")]
        return text_of(found[0]), text_of(found[1])

    @property
    def key_numbers(self) -> dict[str, str]:
        """Label -> number, in their order."""
        listed = self.html[self.html.index('<dl class="key">') :].split("</dl>")[0]
        return _described(listed)

    @property
    def findings(self) -> dict[str, list[str]]:
        """Question -> statements, in their order."""
        found = self.html[self.html.index('<h2 id="findings">') : self.html.index("<aside")]
        questions = {}
        for part in found.split("<h3>")[1:]:
            question, rest = part.split("</h3>")
            questions[text_of(question)] = [
                text_of(s) for s in re.findall(r"<(?:p|li)>(.*?)</(?:p|li)>", rest)
            ]
        return questions

    @property
    def made(self) -> dict[str, list[str]]:
        """How the page was made: label -> lines."""
        listed = self.html[self.html.index('<dl class="made">') :].split("</dl>")[0]
        return {
            text_of(label): [text_of(line) for line in re.findall(r"<li>(.*?)</li>", told)]
            or [text_of(told)]
            for label, told in _pairs(listed)
        }

    @property
    def command(self) -> str:
        """That made the run."""
        return text_of(self.html[self.html.index('<h2 id="made">') :].split("</code>")[0]).split(
            "How it was made ", 1
        )[1]

    @property
    def figures(self) -> dict[str, tuple[str, str, str]]:
        """What is folded up -> title, source and text of the figure below it."""
        pattern = (
            r"<details><summary>([^<]*)</summary><figure><figcaption>([^<]*)</figcaption>"
            r'.*?<img src="([^"]*)" alt="([^"]*)">'
        )
        return {
            html.unescape(summary): (html.unescape(title), source, html.unescape(alt))
            for summary, title, source, alt in re.findall(pattern, self.html)
        }

    @property
    def words(self) -> list[str]:
        """The words that are explained beside the findings."""
        listed = self.html[self.html.index("<aside") : self.html.index("</aside>")]
        return [text_of(word) for word in re.findall(r"<dt>(.*?)</dt>", listed)]

    @property
    def concepts(self) -> dict[str, dict[str, Any]]:
        """Concept -> all that is shown of it; its row by the names of the columns."""
        return {of["row"]["name"]: of for of in self._rows("concepts", "columns")}

    @property
    def filters(self) -> list[dict[str, Any]]:
        """All that is shown of every filter; likewise."""
        return self._rows("filters", "filterColumns")

    def _rows(self, what: str, columns: str) -> list[dict[str, Any]]:
        names = [column["name"] for column in self.content[columns]]
        return [of | {"row": dict(zip(names, of["row"], strict=True))} for of in self.content[what]]

    @property
    def pictures(self) -> list[npt.NDArray[np.uint8]]:
        """The val images, (H, W, 3)."""
        return [np.asarray(_opened(uri)) for uri in self.content["pictures"]]

    def cosines(self, space: str) -> npt.NDArray[np.float64]:
        """Return the cosines of all concepts in a space, (C, C); NaN where there is none."""
        (found,) = [s for s in self.content["spaces"] if s["name"] == space]
        upper = np.frombuffer(base64.b64decode(found["cosine"]), "<i2")
        count = len(self.content["concepts"])
        cosines = np.empty((count, count))
        at = np.triu_indices(count)
        cosines[at] = cosines[at[::-1]] = np.where(upper == -32768, np.nan, upper / 32767)
        return cosines


def unpacked(mask: list[Any]) -> tuple[str, npt.NDArray[np.bool_]]:
    """Return the name of a mask, and the mask."""
    name, height, width, text = mask
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8))
    return name, bits[: height * width].reshape(height, width).astype(bool)


def _opened(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")


def _pairs(listed: str) -> list[tuple[str, str]]:
    return re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", listed, re.DOTALL)


def _described(listed: str) -> dict[str, str]:
    return {text_of(label): text_of(told) for label, told in _pairs(listed)}
