"""Colours, type and small helpers that all pictures share."""

from __future__ import annotations

import importlib
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError, how_to_make

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "BLUE", "COLUMN", "FONT", "GREY", "INK", "ORANGE", "PAGE", "TARGET", "Key",
    "holoviews", "solution_colors", "symbol",
]  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")

# Okabe & Ito's palette, told apart with every common kind of colour vision and in grey.
BLUE, ORANGE, INK, GREY = "#0072B2", "#E69F00", "#222222", "#767676"
TARGET = "#D55E00"
# Light to dark, read in order also in grey.
SIZE_COLORS = ("#C6DBEF", "#7FB3D9", "#3A86BF", "#0B4F8A", "#062C52")
# Of parameters of trials: of even lightness steps (viridis), without its pale end.
PARAMETER_COLORS = ("#440154", "#414487", "#2A788E", "#22A884", "#7AD151", "#C8D93A")
SEQUENTIAL = ("#FFFFFF", "#B9D7EC", "#5A9FCF", BLUE, "#003A5C")
DIVERGING = ("#7A4A00", "#C77F00", "#F2C66D", "#FFFFFF", "#8EC1E3", BLUE, "#003A5C")

FONT = {"title": 8, "labels": 8, "ticks": 7, "legend": 7, "legend_title": 7}
LEGEND_BESIDE: dict[str, Any] = {
    "loc": "center left",
    "bbox_to_anchor": (1.02, 0.5),
    "fontsize": FONT["legend"],
    "frameon": False,
    "handlelength": 1.3,
    "labelspacing": 0.45,
    "borderaxespad": 0.0,
}
# Widths of one column and of two in most journals, 89 and 183 mm, in inches.
COLUMN, PAGE = 89 / 25.4, 183 / 25.4
# No letter of a plot is smaller than this, in points.
SMALLEST = 6.0

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "solspace",
}


def holoviews() -> ModuleType:
    """HoloViews with both backends registered; the user's own choice stays current."""
    try:
        import holoviews
    except ImportError as error:
        raise SolspaceError(
            f"pictures need {error.name}, which is not installed; "
            "type `pip install 'solspace[plots]'`"
        ) from None
    chosen = holoviews.Store.current_backend
    both = {"matplotlib": "mpl", "bokeh": "bokeh"}
    if new := [backend for backend in both if backend not in holoviews.Store.renderers]:
        for backend in new:
            # What a backend registers is added to the defaults of the current one.
            holoviews.Store.current_backend = backend
            importlib.import_module(f"holoviews.plotting.{both[backend]}")
        holoviews.Store.set_current_backend(chosen or "matplotlib")
    return holoviews


@contextmanager
def current(backend: str) -> Iterator[ModuleType]:
    """HoloViews with one backend current: options of another would be mixed with its defaults."""
    hv = holoviews()
    before = hv.Store.current_backend
    _choose(hv, backend)
    try:
        yield hv
    finally:
        _choose(hv, before)


def _choose(hv: ModuleType, backend: str) -> None:
    """Make a backend current where it is not: a switch is slow."""
    if hv.Store.current_backend != backend:
        hv.Store.set_current_backend(backend)


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """A plot function, whichever backend is current where it is called."""

    @wraps(function)
    def plot(*args: P.args, **kwargs: P.kwargs) -> T:
        with current("matplotlib"):
            return function(*args, **kwargs)

    return plot


def symbol(name: str) -> str:
    """A parameter's name as it is set in print, the part after an underscore or a digit lowered.

    Examples
    --------
    >>> symbol("t_in"), symbol("f1"), symbol("delay")
    ('$t_\\\\mathrm{in}$', '$f_\\\\mathrm{1}$', 'delay')
    """
    match = re.fullmatch(r"([a-zA-Z])_?(\d+|(?<=_)\w+)", name)
    return rf"${match[1]}_\mathrm{{{match[2]}}}$" if match else name.replace("_", " ")


def ramp(colors: tuple[str, ...], count: int) -> list[str]:
    """So many colours, evenly from the first to the last."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    scale = LinearSegmentedColormap.from_list("ramp", colors)
    return [to_hex(scale(x)) for x in (np.linspace(0, 1, count) if count > 1 else [0.65])]


# Hues of Paul Tol's muted palette in three shades of each, told apart with every common kind of
# colour vision; neighbours in the list differ in hue.
_HUES = ("#332288", "#DDCC77", "#117733", "#CC6677", "#88CCEE", "#882255", "#44AA99")
_SHADES = (0.0, 0.45, -0.35)  # towards white, or towards black
# The names that shipped populations have most often, so that these never share a colour.
_KNOWN = (
    "go_unasked_late_set_go",
    "go_unasked_late_set_ignored",
    "waits_late_set_go",
    "waits_late_set_ignored",
    "go_repeats_set_changes_nothing",
    "go_stays_on_set_changes_nothing",
    "go_unasked_late_set_go_twice",
    "memory_in_2_points",
    "memory_in_3_points",
    "memory_in_a_point_and_motion",
    "memory_in_motion",
    "memory_in_2_points_and_motion",
    "memory_fades_to_a_point",
    "memory_in_4_points",
    "late_answer_minus",
    "late_answer_by_phase",
    "late_no_answer",
    "late_answer_plus",
)
NO_SOLUTION = "#D9D9D9"


def solution_colors(names: Iterable[str]) -> dict[str, str]:
    """A colour for each solution, the same wherever its name appears.

    The names that are commonest in shipped populations have fixed colours, others one that follows
    from their letters. Two of the given names that would share one are told apart: the later in the
    alphabet takes the next that is free, as long as there are free ones of the 21.

    Parameters
    ----------
    names : iterable of str
        As in ``solution_name``; an empty one means no solution, and is grey.

    Examples
    --------
    >>> colors = solution_colors(["waits_late_set_go", "memory_in_motion", ""])
    >>> colors["waits_late_set_go"] == solution_colors(["waits_late_set_go"])["waits_late_set_go"]
    True
    >>> colors[""]
    '#D9D9D9'
    """
    palette = [shaded(hue, shade) for shade in _SHADES for hue in _HUES]
    wanted = sorted({str(name) for name in names}, key=lambda n: (n not in _KNOWN, n))
    colors: dict[str, str] = {}
    for name in wanted:
        if not name:
            colors[name] = NO_SOLUTION
            continue
        task_start = {"memory": 7, "late": 14}.get(name.split("_")[0], 0)
        at = (
            _KNOWN.index(name) - task_start
            if name in _KNOWN
            else zlib.crc32(name.encode()) % len(palette)
        )
        order = [palette[(at + k) % len(palette)] for k in range(len(palette))]
        colors[name] = next((c for c in order if c not in colors.values()), order[0])
    return colors


def shaded(color: str, shade: float) -> str:
    """A colour so far towards white, or, below 0, towards black."""
    parts = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    end = 255 if shade > 0 else 0
    return "#" + "".join(f"{round(part + abs(shade) * (end - part)):02X}" for part in parts)


def solution_names(ds: xr.Dataset) -> dict[int, str]:
    """The name of each solution by its number, as far as a dataset tells.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"solution": ("network", [1, -1])},
    ...                 {"solution_name": ("network", ["waits_late_set_go", ""])})
    >>> solution_names(ds)
    {1: 'waits_late_set_go'}
    """
    if "solution" not in ds.variables or "solution_name" not in ds.variables:
        return {}
    numbers, names = np.ravel(ds["solution"].values), np.ravel(ds["solution_name"].values)
    return {int(i): str(n) for i, n in zip(numbers, names, strict=True) if i >= 0 and str(n)}


def solution_words(name: str, most: int = 24) -> list[str]:
    """A solution's name in lines of print; that of an unnamed solution by its first letters.

    Examples
    --------
    >>> solution_words("go_unasked_late_set_ignored"), solution_words("solution_118d176d9e9cf28a")
    (['go unasked', 'late set ignored'], ['solution 118d'])
    """
    if match := re.fullmatch(r"solution_([0-9a-f]{4})[0-9a-f]+", name):
        return [f"solution {match[1]}"]
    words = name.replace("_", " ")
    for cut in (" late ", " set changes", " and ", " a point", " to "):
        if cut in words and len(words) > 14:
            head, tail = words.split(cut, 1)
            return [head, (cut + tail).strip()]
    return [words]


def is_recorded(ds: xr.Dataset) -> bool:
    """Whether a dataset is of recordings rather than of networks."""
    from solspace.population.describe import named_of

    return named_of(ds, "architecture") == "recorded"


def varying(ds: xr.Dataset, trials: NDArray[np.intp] | None = None) -> list[str]:
    """The task's parameters that differ between trials, in the task's order.

    Of a recording without a task, what its trials were averaged by, then other numbers of trials.
    """
    from solspace.population.describe import named_of
    from solspace.tasks import get_task
    from solspace.tasks.registry import is_known

    task = named_of(ds, "task")
    names = list(get_task(task).parameters) if task and is_known(task) else []
    own = str(ds.attrs.get("averaged_by", ""))
    names += [own] if own and own not in names else []
    found = []
    for name in names:
        if name not in ds.variables or ds[name].dims != ("trial",):
            continue
        values = ds[name].values if trials is None else ds[name].values[trials]
        if values.dtype.kind in "iuf" and len(np.unique(values[np.isfinite(values)])) > 1:
            found.append(name)
    return found


def of_one(
    ds: xr.Dataset, network: int | str | None, needs: tuple[str, ...], stage: str
) -> xr.Dataset:
    """One network of a dataset, without the dim ``network``.

    Raises
    ------
    SolspaceError
        Where a variable is missing, there is no such network, or it is not said which of several.
    """
    if missing := [name for name in needs if name not in ds.variables]:
        raise SolspaceError(f"the dataset has no {missing[0]!r}; {how_to_make(stage)}")
    if "network" not in ds.dims:
        own = [str(ds[n].values) for n in ("name", "network") if n in ds.variables]
        if network is not None and str(network) not in own:
            raise SolspaceError(
                f"network {network!r} was asked for, and the dataset is of one alone"
                f"{f', {own[0]!r}' if own else ''}; leave it out"
            )
        return ds
    if network is None:
        if ds.sizes["network"] != 1:
            raise SolspaceError(
                f"{ds.sizes['network']} networks; say which, by position or name, such as 0"
            )
        network = 0
    return ds.isel(network=pick(ds, network, needs, stage))


def pick(ds: xr.Dataset, network: int | str, needs: tuple[str, ...], stage: str) -> int:
    """Position of one network along ``network``, by its position or its name.

    Raises
    ------
    SolspaceError
        Where a variable is missing (the stage that makes it is named) or there is no such network.
    """
    if missing := [name for name in needs if name not in ds.variables]:
        raise SolspaceError(f"the dataset has no {missing[0]!r}; {how_to_make(stage)}")
    n = ds.sizes["network"]
    if isinstance(network, str):
        names = [str(x) for x in ds["name"].values] if "name" in ds.variables else []
        if network not in names:
            shown = ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
            raise SolspaceError(f"no network named {network!r}; networks: {shown or 'unnamed'}")
        return names.index(network)
    if not 0 <= network < n:
        raise SolspaceError(f"network {network} of {n}; give 0 to {n - 1}, or a name")
    return int(network)


# ------------------------------------------------------------------------------ keys


@dataclass(frozen=True)
class Key:
    """What one mark of a plot means: an entry of its legend in either backend.

    Attributes
    ----------
    label, color : str
    line : line style of matplotlib, optional
        None where the mark is no line.
    marker : str
        Of matplotlib; empty where there is none.
    face : str
        What fills the marker; ``color`` by default.
    size, width : float
        Of the marker and of the line, in points.
    patch : bool
        A filled square: what bars and areas are of.
    """

    label: str
    color: str
    line: Any = None
    marker: str = ""
    face: str = ""
    size: float = 4.5
    width: float = 1.6
    patch: bool = False
    alpha: float = 1.0

    def handle(self) -> Any:
        """As matplotlib draws it."""
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        if self.patch:
            return Patch(facecolor=self.color, label=self.label, alpha=self.alpha)
        return Line2D(
            [],
            [],
            color=self.color,
            linestyle="" if self.line is None else self.line,
            linewidth=self.width,
            marker=self.marker,
            markersize=self.size,
            markerfacecolor=self.face or self.color,
            markeredgewidth=0.8,
            label=self.label,
        )


@dataclass(frozen=True)
class Scale:
    """What the colours of a plot's lines or dots mean: a bar beside it."""

    label: str
    low: float
    high: float
    colors: tuple[str, ...]
    ticks: tuple[float, ...] = ()


def legend(axes: Any, keys: Sequence[Key], **options: Any) -> Any:
    """One legend of matplotlib, by default beside the axes."""
    handles = [key.handle() for key in keys]
    if any(key.patch for key in keys):
        options = {"handleheight": 1.0} | options
    return axes.legend(
        handles=handles, **({**LEGEND_BESIDE, **options} if options else LEGEND_BESIDE)
    )


def color_scale(axes: Any, scale: Scale, place: tuple[float, float, float, float]) -> Any:
    """The bar of a scale, at a place in the axes' own coordinates."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize

    bar = axes.inset_axes(place)
    drawn = axes.figure.colorbar(
        ScalarMappable(
            Normalize(scale.low, scale.high),
            LinearSegmentedColormap.from_list("scale", scale.colors),
        ),
        cax=bar,
        **({"ticks": list(scale.ticks)} if scale.ticks else {}),
    )
    drawn.ax.tick_params(labelsize=FONT["ticks"], width=0.6, length=2)
    drawn.set_label(scale.label, fontsize=FONT["labels"], labelpad=2)
    drawn.outline.set_linewidth(0.6)
    return drawn


def place(axes: Any, rectangle: Sequence[float]) -> None:
    """Put axes where a plot wants them, within its own panel where it is one of a layout."""
    rows, columns, start, _ = axes.get_subplotspec().get_geometry()
    row, column = divmod(start, columns)
    left, bottom, width, height = rectangle
    axes.set_position(
        (
            (column + left) / columns,
            1 - (row + 1 - bottom) / rows,
            width / columns,
            height / rows,
        )
    )


def beside_scale(
    keys: Sequence[Key], scale: Scale | None, low: float, high: float, top: float
) -> Any:
    """A hook: axes on the left, a scale of colours beside them, and the legend below it.

    ``low`` and ``high`` are where the scale begins and how tall it is, ``top`` where the legend
    begins, in shares of the axes.
    """

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, (0.13, 0.17, 0.55, 0.77))
        axes.spines[["top", "right"]].set_visible(False)
        if scale is None:
            legend(axes, keys)
            return
        color_scale(axes, scale, (1.08, low, 0.05, high))
        legend(axes, keys, loc="upper left", bbox_to_anchor=(1.02, top))

    return hook


def beside_legend(keys: list[Key], box: tuple[float, float, float, float]) -> Any:
    """A hook for curves: axes in this box of the figure, open at the top, their key beside them."""

    def hook(plot: Any, element: Any) -> None:
        axes = plot.handles["axis"]
        axes.set_aspect("auto")
        place(axes, box)
        axes.spines[["top", "right"]].set_visible(False)
        legend(axes, keys)

    return hook
