"""From HoloViews elements to files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

from solspace.errors import SolspaceError
from solspace.plots.style import RC, current

__all__ = ["save", "to_svg"]

FORMATS = ("png", "svg", "pdf")
_OTHERS = ("jpg", "jpeg", "gif", "tif", "tiff", "eps", "ps", "webp", "html", "bmp")


def save(
    picture: Any,
    path: str | os.PathLike[str],
    *,
    formats: Sequence[str] | None = None,
    dpi: int = 300,
) -> list[str]:
    """Write a picture to files.

    Parameters
    ----------
    picture : HoloViews element
    path : path
        With one of the suffixes ``.png``, ``.svg`` and ``.pdf`` that file is written, and no
        other; without, a file of each format.
    formats : sequence of {"png", "svg", "pdf"}, optional
        By default the suffix of the path, else PNG and SVG.
    dpi : int
        Of the PNG, and of images inside the others.

    Returns
    -------
    list of str
        The files written, each whole or not at all.

    Raises
    ------
    SolspaceError
        For an unknown format, and for a suffix beside other formats.

    Examples
    --------
    >>> import os, tempfile, holoviews as hv
    >>> files = save(hv.Curve([1, 2, 3]), tempfile.mkdtemp() + "/line.pdf")
    >>> [os.path.basename(f) for f in files]
    ['line.pdf']
    """
    import matplotlib

    stem, suffix = os.path.splitext(os.fspath(path))
    own = suffix[1:].lower()
    if own not in FORMATS:
        # What stands behind a dot may be part of the name, unless it is known to be a format.
        if own in _OTHERS:
            raise SolspaceError(f"unknown format {own!r}; formats: {', '.join(FORMATS)}")
        stem, suffix, own = os.fspath(path), "", ""
    if formats is None:
        formats = (own,) if own else ("png", "svg")
    if unknown := [f for f in formats if f not in FORMATS]:
        raise SolspaceError(f"unknown format {unknown[0]!r}; formats: {', '.join(FORMATS)}")
    if own and list(formats) != [own]:
        raise SolspaceError(
            f"{os.fspath(path)!r} is a {own} and formats={list(formats)!r} was given; leave one out"
        )
    written = []
    with matplotlib.rc_context(RC):
        figure = _figure(picture)
        try:
            for name in formats:
                target = f"{stem}{suffix or '.' + name}"
                # Without the date the same picture is the same file.
                metadata: dict[str, Any] = {
                    "svg": {"Date": None, "Creator": None},
                    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
                    "png": {"Software": None},
                }[name]
                unfinished = f"{target}.unfinished"
                figure.savefig(
                    unfinished,
                    format=name,
                    dpi=dpi,
                    bbox_inches="tight",
                    pad_inches=0.03,
                    metadata=metadata,
                )
                os.replace(unfinished, target)
                written.append(target)
        finally:
            _close(figure)
    return written


def to_svg(picture: Any, *, prefix: str = "", label: str = "", dpi: int = 300) -> str:
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
    with current("matplotlib") as hv:
        return hv.render(picture, backend="matplotlib")


def _close(figure: Any) -> None:
    import matplotlib.pyplot as plt

    plt.close(figure)
