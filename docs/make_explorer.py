"""Take the pictures of docs/explorer.md: the page in a browser, light and dark, wide and narrow.

The recordings are simulated ones of four networks, in a store that is made for it.

python -m docs.make_explorer
"""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VIEW = (
    "?population=interval_reproduction/vanilla&color=solution_name&A=30_i008&B=20_i011"
    "&challenge=ready+0,+set+30"
)
JOINED = "?population=interval_reproduction+(together)&color=architecture&A=lstm/30_i008"
# Name, view, width and height in pixels, whether dark, and whether beside recordings.
TAKEN = (
    ("explorer", VIEW, 1440, 1120, False, False),
    ("explorer_dark", VIEW, 1440, 1120, True, False),
    ("explorer_narrow", VIEW, 400, 1200, False, False),
    ("explorer_narrow_dark", VIEW, 400, 1200, True, False),
    ("explorer_together", JOINED + "&B=recorded/session100", 1440, 960, False, True),
    ("explorer_together_narrow_dark", JOINED + "&side=1", 400, 1765, True, True),
)
RECORDED = (3, 100, 222, 350)  # LSTM networks by position


def simulate(store: str, folder: Path) -> str:
    """A store of simulated recordings of some networks, with features."""
    import solspace
    from solspace.run.loop import run_stage

    lstm = solspace.open_population(store, "interval_reproduction", "lstm")
    found = []
    for i in RECORDED:
        of_one = solspace.record(lstm.isel(network=[i]).load())
        file = solspace.write_nwb(of_one, folder / f"session{i}.nwb", trials=20)
        found.append(
            solspace.recording_from_nwb(
                file, task="interval_reproduction", align="ready_time", window=(0, 1200),
                epochs={"ready_set": ("ready_time", "set_time"),
                        "set_go": ("set_time", "go_start_time")},
                parameters={"t_in": "t_in"}, average="t_in",
            )
        )  # fmt: skip
    path = str(folder / "mine.zarr")
    solspace.add_population(path, solspace.join_recordings(found))
    run_stage(path, "features")
    return path


def main() -> None:
    from PIL import Image

    sys.path.insert(0, str(ROOT / "tests"))
    import browsing

    store = str(ROOT / "stores" / "turner2021.zarr")
    with tempfile.TemporaryDirectory() as folder, browsing.browser() as browser:
        mine = simulate(store, Path(folder))
        for name, view, width, height, dark, beside in TAKEN:
            options = ("--recordings", mine) if beside else ()
            with browsing.served(store, *options) as address:
                page = browsing.Page(browser, width, height, dark)
                page.open(address + view + ("&theme=dark" if dark else ""))
                page.page.wait_for_timeout(2500)
                shot = page.page.screenshot()
                page.close()
            image = Image.open(io.BytesIO(shot))
            # So many colours do for marks and letters, and the file is half the size.
            few = image.convert("RGB").quantize(
                256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
            )
            few.save(ROOT / "docs" / "images" / f"{name}.png", optimize=True)
            print(name, (ROOT / "docs" / "images" / f"{name}.png").stat().st_size // 1000, "kB")


if __name__ == "__main__":
    main()
