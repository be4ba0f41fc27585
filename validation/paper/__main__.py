"""``python -m validation.paper [FIGURE ...]``: the paper's figures from a store of ours."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from threadpoolctl import threadpool_limits

from solspace.errors import SolspaceError
from validation.paper.page import (
    FIGURES,
    ROOT,
    check_number,
    make_figure,
    make_section,
    source_line,
    write_page,
)


def main(arguments: list[str] | None = None) -> int:
    """Make figures and put them into the page; 2 where something is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m validation.paper",
        description="The data, plain pictures and a page of the paper's figures, from a store.",
    )
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help="2, 3, 4, 5; by default all")
    parser.add_argument("--store", default=str(ROOT / "stores" / "turner2021.zarr"))
    parser.add_argument("--out", default=str(ROOT / "docs" / "images" / "paper"), help="pictures")
    parser.add_argument("--page", default=str(ROOT / "docs" / "paper.md"))
    parser.add_argument("--data", metavar="FOLDER", help="also keep the data, a Zarr store each")
    given = parser.parse_args(arguments)
    page, out = Path(given.page), Path(given.out)
    try:
        for number in given.figures:
            check_number(number)
        for number in given.figures or FIGURES:
            with threadpool_limits(1):  # on small networks threads wait for each other
                tree = make_figure(number, given.store)
            section = make_section(number, tree, out, page, source_line(given.store))
            write_page(page, {number: section})
            if given.data:
                _keep(tree, Path(given.data) / f"figure{number}.zarr")
            print(f"figure {number}: {page}", flush=True)
    except SolspaceError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _keep(tree: object, path: Path) -> None:
    import xarray as xr

    assert isinstance(tree, xr.DataTree)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # Of Zarr's formats of strings and of joined metadata, which have no specification yet.
        warnings.simplefilter("ignore")
        tree.to_zarr(path, mode="w")


if __name__ == "__main__":
    sys.exit(main())
