"""How fast the explorer answers, in a browser: the first view, a click, a pulse that is moved.

Medians, and what 95 % are under, on the shipped store with the server warm; the first view is that
of a browser that has kept nothing. Memory is that of the server after all of it.

    python benchmarks/explorer.py [--store STORE] [--times N]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import browsing  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default=str(ROOT / "stores" / "turner2021.zarr"))
    parser.add_argument("--times", type=int, default=20)
    args = parser.parse_args()
    if why := browsing.why_not():
        raise SystemExit(why)
    views, clicks, moves = [], [], []
    with browsing.served(args.store) as address, browsing.browser() as browser:
        for _ in range(args.times):
            page = browsing.Page(browser)
            views.append(page.open(address))
            page.close()
        page = browsing.Page(browser)
        page.open(address)
        page.page.wait_for_timeout(1000)
        for i in browsing.apart(page, args.times):
            clicks.append(browsing.click(page, i))
            page.page.wait_for_timeout(300)
        page.page.locator(".noUi-handle").first.focus()
        for _ in range(args.times):
            moves.append(browsing.press(page, "ArrowRight"))
            page.page.wait_for_timeout(100)
        print(browsing.told("first view", views))
        print(browsing.told("a click on the map", clicks))
        print(browsing.told("a pulse moved", moves))
        print(f"{'memory of the server':<28} {browsing.memory_of(address) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
