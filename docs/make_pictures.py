"""Make the pictures of docs pages by running what the pages say."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

import solspace

DOCS = Path(__file__).resolve().parent
STORE = DOCS.parent / "stores" / "turner2021.zarr"
# Of a page, which of the files that it saves is which of its pictures.
PAGES = {
    "flip_flop.md": {"flip_flop.png": "flip_flop.png"},
    "recordings.md": {"session.png": "recording.png"},
    "which_solution.md": {"location.png": "location.png"},
    "plots.md": {f"{name}.png": f"plot_{name}.png" for name in ("network", "map", "psth")},
}


def write_session(path: str) -> str:
    """The recording that docs/recordings.md reads: the first network that ships, as NWB."""
    ds = xr.open_zarr(STORE, group="interval_reproduction/vanilla").isel(network=[0]).load()
    return solspace.write_nwb(solspace.record(ds), path, trials=20)


def main(pages: Sequence[str] = ()) -> None:
    """Make the pictures of these pages, or of all."""
    for page in pages or PAGES:
        blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), flags=re.S)
        names: dict[str, Any] = {}
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            os.chdir(folder)
            os.symlink(STORE.parent, "stores")
            if "session.nwb" in "".join(blocks) and "write_nwb" not in "".join(blocks):
                write_session("session.nwb")
            for block in blocks:
                exec(compile(block, page, "exec"), names)
            for saved, picture in PAGES[page].items():
                shutil.copy(saved, DOCS / "images" / picture)
            os.chdir(DOCS)


if __name__ == "__main__":
    main(sys.argv[1:])
