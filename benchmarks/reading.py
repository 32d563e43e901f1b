"""What reading costs: decoders against each other, and scans of a real and of BRODEN's size.

``python -m benchmarks.reading`` prints all. Decoders that are not installed are left out; with
``--decoders`` only they are measured, without the package, for an environment that has more of
them.
"""

import argparse
import importlib
import io
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL
from PIL import Image, ImageDraw

Pixels = npt.NDArray[np.uint8]
Decoder = Callable[[bytes], Pixels]
BRODEN = 63_305  # images
REPEATS = 5
_PHOTOS = 40


def main(arguments: list[str]) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decoders", action="store_true")
    parser.add_argument("--rows", type=int, default=6_000, help="of BRODEN's size that are scanned")
    given = parser.parse_args(arguments)
    shared = Path(os.environ.get("NET2VEC_SHARED", Path(__file__).parents[2] / "shared"))
    root = shared / "data" / "camvid_broden_224"
    _decoders(root)
    if not given.decoders:
        with TemporaryDirectory() as folder:
            os.environ["NET2VEC_CACHE"] = f"{folder}/cache"
            _real_scans(root)
            _large_scans(root, Path(folder) / "large", given.rows)
    return 0


def decoders() -> dict[str, Decoder]:
    """Return every decoder that is installed, from the bytes of a file to RGB (H, W, 3)."""
    return {
        name: decoder
        for name, make in (
            ("PIL", _pil),
            ("torchvision.io", _torchvision),
            ("PyTurboJPEG", _turbo),
            ("simplejpeg", _simple),
            ("OpenCV", _opencv),
        )
        if (decoder := _if_installed(make)) is not None
    }


def _if_installed(make: Callable[[], Decoder]) -> Decoder | None:
    try:
        return make()
    except (ImportError, OSError, RuntimeError):
        return None


def _pil() -> Decoder:
    return lambda data: np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _torchvision() -> Decoder:
    torch, io_of = importlib.import_module("torch"), importlib.import_module("torchvision.io")
    torch.set_num_threads(1)

    def decode(data: bytes) -> Pixels:
        array = np.frombuffer(data, dtype=np.uint8).copy()
        image = io_of.decode_image(torch.from_numpy(array), io_of.ImageReadMode.RGB)
        pixels: Pixels = image.permute(1, 2, 0).numpy()
        return pixels

    return decode


def _turbo() -> Decoder:
    turbo = importlib.import_module("turbojpeg")
    library = turbo.TurboJPEG(os.environ.get("TURBOJPEG"))

    def decode(data: bytes) -> Pixels:
        pixels: Pixels = library.decode(data, pixel_format=turbo.TJPF_RGB)
        return pixels

    return decode


def _simple() -> Decoder:
    decode: Decoder = importlib.import_module("simplejpeg").decode_jpeg
    return decode


def _opencv() -> Decoder:
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(1)

    def decode(data: bytes) -> Pixels:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if image is None:
            raise ValueError("not decoded")
        pixels: Pixels = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return pixels

    return decode


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    try:
        image.save(file, kind, **options)
    except (KeyError, OSError):  # this build of PIL cannot write it, and so not read it either
        return b""
    return file.getvalue()


def awkward(photo: Image.Image) -> dict[str, tuple[bytes, Pixels | None]]:
    """Return files as people have them, and what is right: RGB pixels, or None for a refusal.

    Lossy files are right within three steps of what their plain JPEG holds.
    """
    width, height = photo.size
    plain = np.asarray(photo)
    grey = photo.convert("L")
    clear = photo.convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(plain[..., 0] > 90, 255, 0).astype(np.uint8)))
    white = np.where(np.asarray(clear)[..., 3:] > 0, plain, 255).astype(np.uint8)
    palette = photo.quantize(16)
    painted = palette.copy()
    ImageDraw.Draw(painted).rectangle((0, 0, width // 2, height // 2), fill=3)
    shown = np.asarray(painted.convert("RGB")).copy()
    shown[np.asarray(painted) == 3] = 255
    sixteen = np.asarray(grey).astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    jpeg, png = _saved(photo, "JPEG", quality=95), _saved(photo, "PNG")
    decoded = np.asarray(Image.open(io.BytesIO(jpeg)))
    three = np.repeat(np.asarray(grey)[..., None], 3, axis=2)
    return {
        "JPEG, progressive": (_saved(photo, "JPEG", quality=95, progressive=True), decoded),
        "JPEG, grey": (_saved(grey, "JPEG", quality=95), three),
        "JPEG, CMYK": (_saved(photo.convert("CMYK"), "JPEG", quality=95), decoded),
        "JPEG, EXIF on its side": (
            _saved(photo, "JPEG", quality=95, exif=exif.tobytes()),
            np.rot90(decoded, -1),
        ),
        "JPEG, cut in half": (jpeg[: len(jpeg) // 2], None),
        "PNG, RGB": (png, plain),
        "PNG, alpha": (_saved(clear, "PNG"), white),
        "PNG, palette": (_saved(palette, "PNG"), np.asarray(palette.convert("RGB"))),
        "PNG, palette with alpha": (_saved(painted, "PNG", transparency=3), shown),
        "PNG, 16 bit grey": (_saved(Image.fromarray(sixteen), "PNG"), three),
        "PNG, cut in half": (png[: len(png) // 2], None),
        "GIF": (_saved(palette, "GIF"), np.asarray(palette.convert("RGB"))),
        "WebP, lossless": (_saved(photo, "WEBP", lossless=True), plain),
        "TIFF": (_saved(photo, "TIFF", compression="tiff_lzw"), plain),
        "BMP": (_saved(photo, "BMP"), plain),
    }


def reads_rightly(decode: Decoder, data: bytes, wanted: Pixels | None) -> bool:
    """Return whether a decoder gives the right pixels, or refuses what is damaged."""
    try:
        found = decode(data)
    except Exception:
        return wanted is None
    if wanted is None or found.shape != wanted.shape:
        return False
    return bool(np.abs(found.astype(int) - wanted.astype(int)).mean() <= 3)


def _decoders(root: Path) -> None:
    paths = sorted((root / "images").rglob("*.jpg"))[:_PHOTOS]
    photos = [Image.open(path).convert("RGB") for path in paths]
    large = [_saved(p.resize((640, 480)), "JPEG", quality=90) for p in photos]
    small = [path.read_bytes() for path in paths]
    masks = [p.read_bytes() for p in sorted((root / "images").rglob("*.png"))[: 4 * _PHOTOS]]
    files = awkward(photos[0])
    known = decoders() | _ours()
    print(f"PIL {PIL.__version__}; decoders: {', '.join(known)}")
    for what, given in (("JPEG 640x480", large), ("JPEG 224x224", small), ("PNG mask", masks)):
        times: dict[str, list[float]] = {name: [] for name in known}
        for _ in range(REPEATS):
            for name, decode in known.items():
                if (cost := _seconds(decode, given)) is not None:
                    times[name].append(cost / len(given) * 1000)
        for name, costs in times.items():
            if costs:
                same = _same_as_pil(known[name], given)
                print(
                    f"{what:<13} {name:<15} {statistics.median(costs):.2f} ms "
                    f"({min(costs):.2f} to {max(costs):.2f}); PIL's pixels: {same}"
                )
    for name, decode in known.items():
        wrong = [
            what
            for what, (data, wanted) in files.items()
            if not reads_rightly(decode, data, wanted)
        ]
        print(f"{name:<15} {len(files) - len(wrong)} of {len(files)}; not: {', '.join(wrong)}")


def _seconds(decode: Decoder, files: list[bytes]) -> float | None:
    begin = time.perf_counter()
    try:
        for data in files:
            decode(data)
    except Exception:  # a decoder of JPEG at a PNG
        return None
    return time.perf_counter() - begin


def _same_as_pil(decode: Decoder, files: list[bytes]) -> str:
    pil = _pil()
    differing = max(
        int(np.abs(decode(f).astype(int) - pil(f).astype(int)).max()) for f in files[:10]
    )
    return "to the bit" if differing == 0 else f"up to {differing} apart"


def _ours() -> dict[str, Decoder]:
    """Return the package's own reader of any image, where the package is installed."""
    try:
        any_image = importlib.import_module("net2vec_pl.datasets.images.any_image")
        images = importlib.import_module("net2vec_pl.datasets.images.decoding")
    except ImportError:
        return {}

    def decode(data: bytes) -> Pixels:
        image = images.decode(data, Path("file"), "image")
        pixels: Pixels = any_image.any_image_pixels(image, "file").permute(1, 2, 0).numpy()
        return pixels

    return {"ours (PIL)": decode}


def _real_scans(root: Path) -> None:
    """Compare the second start with the first, in a new reader each time."""
    from net2vec_pl.data import current_scan
    from net2vec_pl.datasets import BrodenReader

    for workers in (0, 2):
        costs: dict[str, list[float]] = {"first": [], "second": []}
        for _ in range(3):
            for what, anew in (("first", True), ("second", False)):
                reader = BrodenReader(root)
                begin = time.perf_counter()
                current_scan(reader, anew=anew, workers=workers)
                costs[what].append(time.perf_counter() - begin)
        middle = {what: statistics.median(values) for what, values in costs.items()}
        print(
            f"scan of {len(reader)} real images, {workers} workers: {middle['first']:.2f} s, kept "
            f"{middle['second']:.3f} s, {middle['first'] / middle['second']:.0f} times less"
        )


def make_large(root: Path, target: Path, count: int) -> None:
    """Make a dataset of BRODEN's number of images: names of their own for the same few files."""
    header, *lines = (root / "index.csv").read_text(encoding="utf-8").splitlines()
    target.mkdir(parents=True)
    for path in root.glob("*.csv"):
        if path.name != "index.csv":
            (target / path.name).write_bytes(path.read_bytes())
    names = sorted(p.relative_to(root / "images") for p in (root / "images").rglob("*.*"))
    with (target / "index.csv").open("w", encoding="utf-8") as index:
        index.write(f"{header}\n")
        for copy in range(-(-count // len(lines))):
            folder = target / "images" / f"{copy:03}"
            for name in names:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                _link(root / "images" / name, folder / name)
            for line in lines[: count - copy * len(lines)]:
                cells = line.split(",")
                index.write(",".join(_moved(cell, f"{copy:03}") for cell in cells) + "\n")


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # on another drive
        target.write_bytes(source.read_bytes())


def _moved(cell: str, folder: str) -> str:
    """Put a folder in front of every path of a cell of index.csv."""
    parts = (f"{folder}/{p}" if p.endswith((".jpg", ".png")) else p for p in cell.split(";"))
    return ";".join(parts)


def _large_scans(root: Path, folder: Path, rows: int) -> None:
    """Scan a part of BRODEN's size, and load a scan of all of it."""
    from net2vec_pl.data import Scan, scan_files
    from net2vec_pl.data.kept_scan import key_of, load_scan, save_scan
    from net2vec_pl.datasets import BrodenReader

    begin = time.perf_counter()
    make_large(root, folder, BRODEN)
    print(f"{BRODEN} rows made up in {time.perf_counter() - begin:.0f} s")
    begin = time.perf_counter()
    reader = BrodenReader(folder)
    print(f"opened in {time.perf_counter() - begin:.1f} s, {_peak():.2f} GiB")
    part = BrodenReader(folder)
    part.image_names = part.image_names[:rows]
    begin = time.perf_counter()
    scan = scan_files(part, workers=2)
    seconds = time.perf_counter() - begin
    print(
        f"scan of {rows} rows, 2 workers: {seconds:.0f} s ({rows / seconds:.0f} images/s), so some "
        f"{seconds / rows * BRODEN / 60:.0f} min for all; {_peak():.2f} GiB"
    )
    begin = time.perf_counter()
    key = key_of(reader)
    assert key is not None
    print(f"key of all rows and files: {time.perf_counter() - begin:.1f} s")
    times = -(-BRODEN // rows)
    row = np.concatenate([scan.row + i * rows for i in range(times)])
    kept = row < BRODEN
    whole = Scan(
        row=row[kept],
        number=np.tile(scan.number, times)[kept],
        pixels=np.tile(scan.pixels, times)[kept],
        readable=np.arange(BRODEN),
        unreadable=(),
        digest=scan.digest,
    )
    file = folder.parent / "scan.npz"
    begin = time.perf_counter()
    save_scan(whole, file, key)
    print(
        f"written in {time.perf_counter() - begin:.1f} s: {len(whole.row)} entries, "
        f"{file.stat().st_size / 2**20:.1f} MiB"
    )
    begin = time.perf_counter()
    assert load_scan(file, key, reader) is not None
    print(f"loaded in {time.perf_counter() - begin:.2f} s; peak {_peak():.2f} GiB")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
