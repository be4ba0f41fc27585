"""Take the pictures of docs/explorer.md: the page in a browser, light and dark, wide and narrow.

python -m docs.make_explorer
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VIEW = (
    "?population=interval_reproduction/vanilla&color=solution_name&A=30_i008&B=20_i011"
    "&challenge=ready+0,+set+30"
)
# Name, width and height in pixels, and whether dark.
TAKEN = (
    ("explorer", 1440, 1120, False),
    ("explorer_dark", 1440, 1120, True),
    ("explorer_narrow", 400, 1200, False),
    ("explorer_narrow_dark", 400, 1200, True),
)


def main() -> None:
    from PIL import Image

    sys.path.insert(0, str(ROOT / "tests"))
    import browsing

    store = str(ROOT / "stores" / "turner2021.zarr")
    with browsing.served(store) as address, browsing.browser() as browser:
        for name, width, height, dark in TAKEN:
            page = browsing.Page(browser, width, height, dark)
            page.open(address + VIEW + ("&theme=dark" if dark else ""))
            page.page.wait_for_timeout(1500)
            image = Image.open(io.BytesIO(page.page.screenshot()))
            # So many colours do for marks and letters, and the file is half the size.
            few = image.convert("RGB").quantize(
                256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
            )
            few.save(ROOT / "docs" / "images" / f"{name}.png", optimize=True)
            print(name, (ROOT / "docs" / "images" / f"{name}.png").stat().st_size // 1000, "kB")
            page.close()


if __name__ == "__main__":
    main()
