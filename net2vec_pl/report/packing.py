"""Numbers, pictures and masks as a page's script reads them: small, and inside one JSON text."""

import base64
import io
import json
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int64, UInt8
from markupsafe import Markup
from PIL import Image, features

_WIDEST_PICTURE = 112
_LARGEST_MASK = 40
_QUALITY = 55
_UNIT = 32767  # of a cosine in 16 bits; NaN is one below the lowest


def pack_number(value: Any) -> str | int | float | None:
    """Return a cell as JSON knows it, a number with five digits; None for what is not finite.

    Example:
        >>> [pack_number(v) for v in ("sky", 12.0, 0.123456789, float("nan"))]
        ['sky', 12, 0.12346, None]
    """
    if isinstance(value, str | bool):
        return str(value)
    number = float(value)
    if not np.isfinite(number):
        return None
    return int(number) if number.is_integer() else float(f"{number:.5g}")


def pack_picture(image: UInt8[np.ndarray, "3 H W"]) -> str:
    """Return a picture as a data URI, at most 112 wide."""
    picture = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    if picture.width > _WIDEST_PICTURE:
        height = max(round(picture.height * _WIDEST_PICTURE / picture.width), 1)
        picture = picture.resize((_WIDEST_PICTURE, height), Image.Resampling.LANCZOS)
    return data_uri(picture, _QUALITY)


def data_uri(picture: Image.Image, quality: int) -> str:
    """Return an RGB picture as a data URI, WebP where Pillow can write it, else JPEG."""
    kind = "webp" if features.check("webp") else "jpeg"
    file = io.BytesIO()
    picture.save(file, kind, quality=quality)
    return f"data:image/{kind};base64,{_text(file.getvalue())}"


def pack_mask(mask: Bool[np.ndarray, "h w"]) -> tuple[int, int, str]:
    """Return height, width and bits, row by row; at most 40 a side, by nearest neighbours."""
    small = mask[np.ix_(*map(mask_samples, mask.shape))]
    return small.shape[0], small.shape[1], _text(np.packbits(small).tobytes())


def mask_samples(side: int) -> Int64[np.ndarray, "n"]:
    """Return which rows or columns of a mask are kept, 40 at most; of what is kept, all."""
    kept = min(side, _LARGEST_MASK)
    return ((np.arange(kept) + 0.5) * side / kept).astype(np.int64)


def pack_cosines(cosine: Float[np.ndarray, "C C"]) -> str:
    """Return the upper triangle with its diagonal, row by row, in little-endian 16-bit integers."""
    upper = cosine[np.triu_indices(len(cosine))]
    whole = np.round(upper.clip(-1, 1) * _UNIT)
    return _text(np.where(np.isnan(upper), -_UNIT - 1, whole).astype("<i2").tobytes())


def script_json(content: Any) -> Markup:
    r"""Write JSON that may stand inside a script element, whatever its strings hold.

    Raises:
        ValueError: If a number is not finite.

    Example:
        >>> script_json(["</script>"])
        Markup('["\\u003c/script>"]')
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
