"""The stage that keeps named selections of networks as a label of the population."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from solspace.errors import SolspaceError
from solspace.population.variables import Variable, text_array
from solspace.stages import stage

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["members_of", "select"]

LONGEST = 48
SELECTION = Variable(
    "selection",
    ("network",),
    f"U{LONGEST}",
    "name of the selection, chosen by hand, that the network is in; empty where in none",
)


def members_of(ds: xr.Dataset) -> dict[str, list[str]]:
    """The selections that a population holds: names of networks by name of the selection.

    Examples
    --------
    >>> import xarray as xr
    >>> ds = xr.Dataset({"selection": ("network", ["far", "", "far"])},
    ...                 coords={"name": ("network", ["a", "b", "c"])})
    >>> members_of(ds)
    {'far': ['a', 'c']}
    """
    out: dict[str, list[str]] = {}
    if "selection" in ds.variables:
        for name, chosen in zip(ds["name"].values, ds["selection"].values, strict=True):
            if str(chosen):
                out.setdefault(str(chosen), []).append(str(name))
    return out


@stage(reads=["population"], fills=[SELECTION], after=["train"], over="population")
def select(
    ds: xr.Dataset,
    *,
    members: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> xr.Dataset:
    """Keep named selections of networks as the label ``selection``.

    A network is in one selection at most. The label is that of the last call: give every selection
    that is to be kept.

    Parameters
    ----------
    ds : Dataset
        A population.
    members : sequence of str
        ``SELECTION=NETWORK`` for each network that is in a selection, by name.
    progress : callable (int) -> None, optional
        Told the number of networks done.

    Returns
    -------
    Dataset
        With ``selection`` (network,), empty where a network is in none.

    Raises
    ------
    SolspaceError
        For a network that is not there or in two selections, and for a name of a selection that is
        empty, over 48 letters, or of other than letters, digits, spaces, ``_``, ``.``, ``-``.

    Examples
    --------
    >>> import solspace
    >>> ds = solspace.new_population("interval_reproduction", "vanilla", networks=3, hidden_size=5)
    >>> first, _, last = ds["name"].values
    >>> select(ds, members=[f"odd ones={first}", f"odd ones={last}"]).selection.values.tolist()
    ['odd ones', '', 'odd ones']
    """
    place = {str(name): i for i, name in enumerate(ds["name"].values)}
    chosen = np.full(ds.sizes["network"], "", dtype=object)
    for given in members:
        selection, equals, network = str(given).partition("=")
        if not equals:
            raise SolspaceError(f"{given!r} is no member; give SELECTION=NETWORK")
        fits = re.fullmatch(r"[\w .\-]+", selection) and len(selection) <= LONGEST
        if not fits or selection != selection.strip():
            raise SolspaceError(
                f"a selection named {selection!r}; give 1 to {LONGEST} letters, digits, spaces, "
                "'_', '.' or '-', such as 'far_left'"
            )
        if network not in place:
            few = ", ".join([*place][:4])
            raise SolspaceError(f"no network is named {network!r}; networks: {few}, ...")
        if chosen[place[network]] not in ("", selection):
            raise SolspaceError(
                f"{network!r} is in {chosen[place[network]]!r} and in {selection!r}; a network is "
                "in one selection at most"
            )
        chosen[place[network]] = selection
    if progress is not None:
        progress(len(chosen))
    return ds.assign(selection=("network", text_array(chosen)))
