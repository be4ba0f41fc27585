"""From HoloViews elements to files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from solspace.errors import SolspaceError
from solspace.plots.style import RC, holoviews

__all__ = ["save", "to_svg"]

FORMATS = ("png", "svg", "pdf")


def save(
    picture: Any,
    stem: str | os.PathLike[str],
    *,
    formats: Sequence[str] = ("png", "svg"),
    dpi: int = 200,
) -> list[str]:
    """Write a picture to files.

    Parameters
    ----------
    picture : HoloViews element
    stem : path
        Without the suffix, which each format adds.
    formats : sequence of {"png", "svg", "pdf"}
    dpi : int
        Of the PNG, and of images inside the others.

    Returns
    -------
    list of str
        The files written, each whole or not at all.

    Raises
    ------
    SolspaceError
        For an unknown format.

    Examples
    --------
    >>> import os, tempfile, holoviews as hv
    >>> files = save(hv.Curve([1, 2, 3]), tempfile.mkdtemp() + "/line", formats=["svg"])
    >>> [os.path.basename(f) for f in files]
    ['line.svg']
    """
    import matplotlib

    if unknown := [f for f in formats if f not in FORMATS]:
        raise SolspaceError(f"unknown format {unknown[0]!r}; formats: {', '.join(FORMATS)}")
    written = []
    with matplotlib.rc_context(RC):
        figure = _figure(picture)
        try:
            for suffix in formats:
                path = f"{os.fspath(stem)}.{suffix}"
                # Without the date the same picture is the same file.
                metadata: dict[str, Any] = {
                    "svg": {"Date": None, "Creator": None},
                    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
                    "png": {"Software": None},
                }[suffix]
                unfinished = f"{path}.unfinished"
                figure.savefig(
                    unfinished,
                    format=suffix,
                    dpi=dpi,
                    bbox_inches="tight",
                    pad_inches=0.03,
                    metadata=metadata,
                )
                os.replace(unfinished, path)
                written.append(path)
        finally:
            _close(figure)
    return written


def to_svg(picture: Any, *, prefix: str = "", label: str = "", dpi: int = 200) -> str:
    """A picture as one ``<svg>`` element to be put inside a page.

    Parameters
    ----------
    picture : HoloViews element
    prefix : str
        Put before every id, so that several pictures can stand in one page.
    label : str
        What a screen reader says.
    dpi : int
        Of images inside.

    Examples
    --------
    >>> import holoviews as hv
    >>> text = to_svg(hv.Curve([1, 2, 3]), prefix="a-", label="A line that rises")
    >>> text[:4], text.strip()[-6:], "http://matplotlib" in text
    ('<svg', '</svg>', False)
    """
    import io

    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(RC):
        figure = _figure(picture)
        try:
            figure.savefig(
                buffer,
                format="svg",
                dpi=dpi,
                bbox_inches="tight",
                pad_inches=0.03,
                metadata={"Date": None, "Creator": None},
            )
        finally:
            _close(figure)
    return inline(buffer.getvalue(), prefix=prefix, label=label)


def inline(svg: str, *, prefix: str = "", label: str = "") -> str:
    """An SVG file's text as an element for a page: no prolog, no metadata, ids of its own."""
    from html import escape

    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}', svg)
    svg = re.sub(r'href="#', f'href="#{prefix}', svg)
    svg = re.sub(r"url\(#", f"url(#{prefix}", svg)
    if label:
        text = escape(label, quote=True)
        svg = svg.replace("<svg", f'<svg role="img" aria-label="{text}"', 1)
    return svg.strip()


def _figure(picture: Any) -> Any:
    return holoviews().render(picture, backend="matplotlib")


def _close(figure: Any) -> None:
    import matplotlib.pyplot as plt

    plt.close(figure)
