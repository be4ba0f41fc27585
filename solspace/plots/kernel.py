"""Psychophysical kernels: what a pulse at each moment does to the choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from solspace.errors import SolspaceError
from solspace.plots.backends import both
from solspace.plots.style import BLUE, FONT, INK, ORANGE, PAGE, Key, holoviews, legend, styled

if TYPE_CHECKING:
    import holoviews as hv
    import xarray as xr

__all__ = ["plot_kernel"]

_HIGH = 2.2


@styled
def plot_kernel(challenged: xr.Dataset) -> hv.Layout:
    """The effect of a single pulse on the output against its moment, in each context.

    A thin line for each network, a thick one for their mean; the stream that the context names
    beside the other.

    Parameters
    ----------
    challenged : Dataset
        The group ``challenges`` of a store, or what `solspace.challenge` returns.

    Returns
    -------
    holoviews.Layout
        A panel for each context.

    Raises
    ------
    SolspaceError
        Where there are no single pulses among the challenges, see
        `solspace.challenging.psychophysical_kernels`.

    Examples
    --------
    >>> import xarray as xr
    >>> plot_kernel(xr.Dataset())
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: the dataset has no 'challenge_output'; ...
    """
    from solspace.challenging.kernel import psychophysical_kernels

    found = psychophysical_kernels(challenged)
    values = found.values[np.isfinite(found.values).all(axis=(1, 2, 3))]
    if not len(values):
        raise SolspaceError("no network has answers to single pulses")
    hv = holoviews()
    x = found["moment"].values.astype(float)
    edge = 0.05 * float(np.ptp(values))
    limits = float(values.min()) - edge, float(values.max()) + edge
    keys = [
        Key("stream that the context names", BLUE, line="-"),
        Key("other stream", ORANGE, line="-"),
    ]
    contexts, streams = found["context"].values, found["stream"].values
    panels = []
    each = (PAGE - 0.9) / len(contexts)
    for c, context in enumerate(contexts):
        dims = [f"moment in context {context}", "effect on the output"]
        thin: list[Any] = []
        thick: list[Any] = []
        for key, which in ((keys[1], streams != context), (keys[0], streams == context)):
            rows = values[:, c, which].reshape(-1, len(x))
            if not len(rows):
                continue
            thin.append(
                hv.Path([np.stack([x, row], axis=1) for row in rows], dims).opts(
                    color=key.color, linewidth=0.4, alpha=max(0.06, min(0.6, 30 / len(rows))),
                    backend="matplotlib",
                )
            )  # fmt: skip
            thick.append(
                hv.Curve((x, rows.mean(axis=0)), *dims).opts(
                    color=key.color, linewidth=1.8, backend="matplotlib"
                )
            )
        zero = hv.HLine(0).opts(color=INK, linewidth=0.5, backend="matplotlib")
        shown = keys if c == 0 else []
        box = ((0.6 + c * (each + 0.1)) / PAGE, 0.2, (each - 0.25) / PAGE, 0.64)
        panel = hv.Overlay([*thin, zero, *thick]).opts(
            fig_inches=(each + 0.4, _HIGH),
            xlim=(float(x[0]), float(x[-1])),
            ylim=limits,
            xlabel=f"pulse, steps from the start of the stimulus, context {context}",
            ylabel="effect on the output" if c == 0 else "",
            fontsize=FONT | {"labels": 7},
            show_legend=False,
            hooks=[_placed(box, shown)],
            backend="matplotlib",
        )
        panels.append(both(panel, shown))
    layout = hv.Layout(panels).cols(len(panels))
    layout.opts(shared_axes=False, backend="bokeh")
    return layout.opts(
        fig_inches=(PAGE, _HIGH), sublabel_format="", shared_axes=False, backend="matplotlib"
    )


def _placed(box: tuple[float, float, float, float], keys: list[Key]) -> Any:
    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.figure.set_size_inches(PAGE, _HIGH)
        axes.set_aspect("auto")
        axes.set_position(box)
        axes.spines[["top", "right"]].set_visible(False)
        if keys:
            legend(
                axes, keys, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(keys),
                borderaxespad=0.3,
            )  # fmt: skip

    return hook
