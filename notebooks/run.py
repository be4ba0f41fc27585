"""Run notebooks and keep what they show: ``python -m notebooks.run [NAME ...]``.

Outputs are kept in the notebook itself, so that they can be read without running anything. Left
out is what differs from one machine or run to the next (times, paths, bars) and what only a browser
with scripts can show; pictures are PNG.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
LARGEST = 150_000  # bytes of a picture
COLORS = 256
_PNG = re.compile(r"<img[^>]*src=['\"]data:image/png;base64,([A-Za-z0-9+/=\s]+)['\"]")
SCRIPTS = (
    "application/javascript",
    "application/vnd.holoviews_load.v0+json",
    "application/vnd.holoviews_exec.v0+json",
)


def names() -> list[str]:
    """All notebooks, those of the paper's figures first."""
    return sorted((p.stem for p in HERE.glob("*.ipynb")), key=lambda n: (n[:6] != "figure", n))


def run(name: str, *, out: Path | None = None) -> float:
    """Run a notebook and write it back with its outputs.

    Parameters
    ----------
    name : str
        Without its folder and its ending.
    out : path, optional
        Where to write it instead.

    Returns
    -------
    float
        Seconds that it took.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        Where a cell raises; nothing is written then.
    """
    import nbformat
    from nbclient import NotebookClient

    source = HERE / f"{name}.ipynb"
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(HERE)}},
    )
    began = time.perf_counter()
    client.execute()
    took = time.perf_counter() - began
    clean(notebook)
    nbformat.write(notebook, out or source)
    return took


def clean(notebook: Any) -> None:
    """Leave in a notebook what is the same wherever it is run, and pictures as PNG."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [o for o in map(_cleaned, cell.outputs) if o is not None]


def _cleaned(output: Any) -> Any:
    """An output without paths, scripts and bars; None where nothing is left."""
    if output.output_type == "stream":
        output.text = _without_paths(output.text)
        return None if output.name == "stderr" or not output.text.strip() else output
    if output.output_type == "error":
        return output
    data = output.data
    output.metadata = {}
    found = _PNG.search(data.get("text/html", ""))
    if found:
        data["image/png"] = found.group(1)
    if any(kind in data for kind in SCRIPTS):
        return None
    if "image/png" in data:
        output.data = {"image/png": _small(data["image/png"])}
        return output
    html = data.get("text/html", "")
    if "<script" in html or "xr-wrap" in html or len(html) > 20_000:
        data.pop("text/html")
    if not data:
        return None
    for kind, value in data.items():
        if isinstance(value, str):
            data[kind] = _without_paths(value)
    return output


def _without_paths(text: str) -> str:
    return text.replace(f"{ROOT}/", "").replace(str(ROOT), ".").replace(str(Path.home()), "~")


def _small(png: str) -> str:
    """The picture, and with a palette, then smaller, where it is too large."""
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    whole = _encoded(picture)
    # Only then: with few colours, some are not quite the same.
    while len(whole) > LARGEST:
        whole = _encoded(picture.quantize(COLORS, kmeans=3))
        picture = picture.resize((picture.width * 4 // 5, picture.height * 4 // 5))
    return base64.b64encode(whole).decode()


def _encoded(picture: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def main() -> int:
    """Run those given, or all, one after another."""
    parser = argparse.ArgumentParser(description="Run notebooks and keep their outputs in them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names())}; all")
    for name in parser.parse_args().names or names():
        if name not in names():
            print(f"no notebook {name!r}; there are: {', '.join(names())}", file=sys.stderr)
            return 2
        print(f"{name}: {run(name):.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
