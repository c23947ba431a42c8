"""Text of labels in any script, in Noto fonts that come as Python packages."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import groupby

from PIL import ImageDraw, ImageFont

PLAIN = "NotoSans[wght].ttf"  # Latin, Greek, Cyrillic
CJK = "NotoSansCJK-Regular.ttc"
CJK_FACE = 2  # of the collection: Simplified Chinese, with all of Japanese and Korean too
PACKAGE_OF = {CJK: "noto_cjk_sans_otc"}
# First and last character of each script that the plain font lacks, and the file that has it.
SCRIPTS = (
    (0x0530, 0x058F, "NotoSansArmenian[wght].ttf"),
    (0x0590, 0x05FF, "NotoSansHebrew[wght].ttf"),
    (0x0600, 0x06FF, "NotoSansArabic[wght].ttf"),
    (0x0750, 0x077F, "NotoSansArabic[wght].ttf"),
    (0x08A0, 0x08FF, "NotoSansArabic[wght].ttf"),
    (0x0900, 0x097F, "NotoSansDevanagari[wght].ttf"),
    (0x0980, 0x09FF, "NotoSansBengali[wght].ttf"),
    (0x0A00, 0x0A7F, "NotoSansGurmukhi[wght].ttf"),
    (0x0A80, 0x0AFF, "NotoSansGujarati[wght].ttf"),
    (0x0B00, 0x0B7F, "NotoSansOriya[wght].ttf"),
    (0x0B80, 0x0BFF, "NotoSansTamil[wght].ttf"),
    (0x0C00, 0x0C7F, "NotoSansTelugu[wght].ttf"),
    (0x0C80, 0x0CFF, "NotoSansKannada[wght].ttf"),
    (0x0D00, 0x0D7F, "NotoSansMalayalam[wght].ttf"),
    (0x0D80, 0x0DFF, "NotoSansSinhala[wght].ttf"),
    (0x0E00, 0x0E7F, "NotoSansThai[wght].ttf"),
    (0x0E80, 0x0EFF, "NotoSansLao[wght].ttf"),
    (0x1000, 0x109F, "NotoSansMyanmar[wght].ttf"),
    (0x10A0, 0x10FF, "NotoSansGeorgian[wght].ttf"),
    (0x1100, 0x11FF, CJK),
    (0x1200, 0x139F, "NotoSansEthiopic[wght].ttf"),
    (0x1780, 0x17FF, "NotoSansKhmer[wght].ttf"),
    (0x2190, 0x2BFF, "NotoSansSymbols[wght].ttf"),
    (0x2E80, 0xA4CF, CJK),
    (0xAC00, 0xD7FF, CJK),
    (0xF900, 0xFAFF, CJK),
    (0xFB1D, 0xFB4F, "NotoSansHebrew[wght].ttf"),
    (0xFB50, 0xFDFF, "NotoSansArabic[wght].ttf"),
    (0xFE70, 0xFEFF, "NotoSansArabic[wght].ttf"),
    (0xFF00, 0xFFEF, CJK),
    (0x1F000, 0x1FAFF, "NotoEmoji[wght].ttf"),
    (0x20000, 0x3FFFF, CJK),
)


@dataclass(frozen=True)
class LabelText:
    """One line of text as runs, each in a font that has its script; drawn from left to right.

    Within a run Pillow orders and joins the letters, so an Arabic name reads from right to left.
    """

    runs: tuple[tuple[str, ImageFont.FreeTypeFont], ...]

    @property
    def width_px(self) -> int:
        return round(sum(font.getlength(text) for text, font in self.runs))

    @property
    def ascent_px(self) -> int:
        return max(font.getmetrics()[0] for _, font in self.runs)

    @property
    def height_px(self) -> int:
        return self.ascent_px + max(font.getmetrics()[1] for _, font in self.runs)

    def draw(self, draw: ImageDraw.ImageDraw, left_top: tuple[int, int], fill: tuple[int, int, int]) -> None:
        """Draw the line with its upper left corner at ``left_top``."""
        x, baseline = float(left_top[0]), left_top[1] + self.ascent_px
        for text, font in self.runs:
            draw.text((x, baseline), text, fill=fill, font=font, anchor="ls")
            x += font.getlength(text)


def label_text(label: str, score: float, size_px: int, max_width_px: int) -> LabelText:
    """Return a label and its score as text; a label that is too wide loses its end."""
    ending = f" {score:.0%}"
    text = _layout(label, ending, size_px)
    kept = len(label)
    while text.width_px > max_width_px and kept > 1:
        kept -= 1
        text = _layout(f"{label[:kept]}…", ending, size_px)
    return text


def _layout(label: str, ending: str, size_px: int) -> LabelText:
    names = [_font_name(character) for character in label]
    for i, character in enumerate(label):
        # A space between two words belongs to them, or they could not be ordered together.
        if character.isspace() and i:
            names[i] = names[i - 1]
    runs = groupby(zip(names, label, strict=True), key=lambda pair: pair[0])
    parts = [("".join(character for _, character in pairs), _font(name, size_px)) for name, pairs in runs]
    return LabelText((*parts, (ending, _font(PLAIN, size_px))))


def _font_name(character: str) -> str:
    code = ord(character)
    return next((name for first, last, name in SCRIPTS if first <= code <= last), PLAIN)


@lru_cache(maxsize=64)
def _font(name: str, size_px: int) -> ImageFont.FreeTypeFont:
    path = files(PACKAGE_OF.get(name, "manimgx_fonts")) / name
    return ImageFont.truetype(str(path), size_px, index=CJK_FACE if name == CJK else 0)
