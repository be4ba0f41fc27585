"""Populations of one task seen as one, and recordings beside them."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from solspace.errors import SolspaceError
from solspace.explorer.reading import Explored, read_populations

if TYPE_CHECKING:
    import xarray as xr

    from solspace.reduction.graph import Graph

__all__ = ["Together", "open_explored"]

Array = NDArray[np.float64]

TOGETHER = "(together)"
# Numbers that say which class of its own population a network is in; names say it of all.
_OF_ONE = ("solution",)
# Units that a recording does not share with networks: its activity is in spikes per second, its
# steps are bins.
_NOT_SHARED = ("activity", "step")


class Together(Explored):
    """Several populations of one task as one, and recordings after the networks.

    What is of one network is asked of its population. Networks are called as there, after the
    population's own part of its name where there are several (``vanilla/20_i003``); recordings
    always (``recorded/session``).

    Parameters
    ----------
    parts : sequence of Explored
        Of one task. Recorded ones are put last.

    Raises
    ------
    SolspaceError
        Where they are not of one task, or there is none.

    Examples
    --------
    >>> import solspace
    >>> from solspace.explorer import Explored, Together
    >>> parts = [
    ...     Explored(f"interval_reproduction/{name}", {
    ...         "population": solspace.new_population(
    ...             "interval_reproduction", name, networks=2, hidden_size=5)})
    ...     for name in ("vanilla", "gru")
    ... ]
    >>> both = Together(parts)
    >>> both.name, both.names[2], both.column("architecture").tolist()[1:3]
    ('interval_reproduction (together)', 'gru/5_i000', ['vanilla', 'gru'])
    """

    def __init__(self, parts: Sequence[Explored]) -> None:
        tasks = {part.task_name for part in parts}
        if len(tasks) != 1:
            told = ", ".join(part.name for part in parts) or "none"
            raise SolspaceError(
                f"populations of {len(tasks)} tasks ({told}); give those of one task, such as "
                "Together(list(open_explored(STORE).values())[:2])"
            )
        networks = [part for part in parts if not part.of_recordings]
        self.parts = [*networks, *(part for part in parts if part.of_recordings)]
        name = networks[0].name if len(networks) == 1 else f"{parts[0].task_name} {TOGETHER}"
        super().__init__(name, {}, self.parts[0].path)
        self.task_name = self.parts[0].task_name
        self.of_recordings = not networks
        self._plain = len(networks) == 1
        self._short = _short_names(self.parts)

    # ------------------------------------------------------------------ networks

    @functools.cached_property
    def _ends(self) -> NDArray[np.intp]:
        """Where the networks of each population end."""
        return np.cumsum([part.networks for part in self.parts])

    @functools.cached_property
    def networks(self) -> int:
        """How many there are, recordings among them."""
        return int(self._ends[-1])

    @functools.cached_property
    def names(self) -> list[str]:
        """Of the networks, in their order."""
        return [
            name if self._plain and not part.of_recordings else f"{short}/{name}"
            for part, short in zip(self.parts, self._short, strict=True)
            for name in part.names
        ]

    @functools.cached_property
    def recordings(self) -> NDArray[np.bool_]:
        """Which of them are recordings."""
        return np.concatenate([np.full(p.networks, p.of_recordings) for p in self.parts])

    @functools.cached_property
    def population_names(self) -> NDArray[Any]:
        """The population's own part of its name, of each network."""
        counts = [part.networks for part in self.parts]
        return np.repeat(np.array(self._short), counts)

    def part(self, index: int) -> tuple[Explored, int]:
        """The population that a network is of, and its position there."""
        which = int(np.searchsorted(self._ends, index, side="right"))
        before = int(self._ends[which - 1]) if which else 0
        return self.parts[which], index - before

    def split(
        self, indices: Sequence[int] | NDArray[np.intp]
    ) -> list[tuple[Explored, NDArray[np.intp], NDArray[np.intp]]]:
        """Some networks by population: their positions there, and their places in ``indices``."""
        at = np.asarray(indices, np.intp)
        which = np.searchsorted(self._ends, at, side="right")
        starts = np.concatenate([[0], self._ends])
        found = []
        for k, part in enumerate(self.parts):
            places = np.flatnonzero(which == k)
            if len(places):
                found.append((part, at[places] - starts[k], places))
        return found

    # ---------------------------------------------------------------- populations

    @property
    def ds(self) -> xr.Dataset:
        """There is none of all; each population has its own.

        Raises
        ------
        SolspaceError
            Always.
        """
        raise SolspaceError(
            f"{self.name} is {len(self.parts)} populations; take one: seen.parts[0].ds, or that of "
            "a network: seen.part(seen.place(NAME))[0].ds"
        )

    def has(self, group: str) -> bool:
        """Whether some population has such a group."""
        return any(part.has(group) for part in self.parts)

    def group(self, group: str) -> xr.Dataset:
        """There is none of all; each population has its own.

        Raises
        ------
        SolspaceError
            Always.
        """
        return self.ds

    @property
    def task(self) -> Any:
        """The task they were trained on."""
        return self.parts[0].task

    @property
    def architecture(self) -> str:
        """The architectures' names."""
        return " and ".join(self.architectures)

    @property
    def architectures(self) -> list[str]:
        """Of the networks, each once."""
        own = [p.architecture for p in self.parts if not p.of_recordings]
        return list(dict.fromkeys(own or [p.architecture for p in self.parts]))

    @property
    def has_weights(self) -> bool:
        """Whether networks have weights, which are laid out alike."""
        own = [part for part in self.parts if not part.of_recordings]
        return len(self.architectures) == 1 and any(part.has_weights for part in own)

    # -------------------------------------------------------------------- columns

    def colors(self) -> dict[str, str]:
        """What may colour networks, apart from features: a meaning by the variable's name."""
        found: dict[str, str] = {}
        if len(self.parts) > 1:
            found["architecture"] = "architecture"
        if len(set(self._short)) > len({part.architecture for part in self.parts}):
            found["population"] = "population"
        for part in self.parts:
            if not part.of_recordings:
                found |= {k: v for k, v in part.colors().items() if k not in _OF_ONE}
        return found

    def _read(self, name: str) -> NDArray[Any]:
        """One value for each network; NaN, or "", where its population has none."""
        if name == "population" and name in self.colors():
            return self.population_names
        if name == "architecture" and name in self.colors():
            each = [np.full(part.networks, part.architecture) for part in self.parts]
            return np.concatenate(each)
        if name in self.features_named:
            return np.asarray(self.features[:, self.features_named.index(name)])
        if name not in self.colors():
            raise SolspaceError(
                f"{self.name} has nothing called {name!r} of each network; it has "
                f"{', '.join(sorted(self.colors()))}, and {len(self.features_named)} features"
            )
        own: list[NDArray[Any] | None] = [
            part.column(name) if name in part.colors() else None for part in self.parts
        ]
        if any(c is not None and c.dtype.kind not in "iufb" for c in own):
            texts = [
                np.full(p.networks, "") if c is None else c.astype(str)
                for p, c in zip(self.parts, own, strict=True)
            ]
            return np.concatenate(texts)
        if all(c is not None for c in own):
            return np.concatenate([c for c in own if c is not None])
        numbers = [
            np.full(p.networks, np.nan) if c is None else c.astype(float)
            for p, c in zip(self.parts, own, strict=True)
        ]
        return np.concatenate(numbers)

    # ------------------------------------------------------------------- features

    @functools.cached_property
    def features_named(self) -> list[str]:
        """Names of the features that all populations with features have.

        Beside recordings those are left out whose unit is that of activity or a step: a recording
        is in spikes per second and in bins.
        """
        told = [part for part in self.parts if part.features_named]
        if not told:
            return []
        sets = [set(part.features_named) for part in told[1:]]
        found = [name for name in told[0].features_named if all(name in one for one in sets)]
        if any(part.of_recordings for part in told) and not self.of_recordings:
            units = told[0].feature_units
            found = [n for n in found if not any(u in units.get(n, "") for u in _NOT_SHARED)]
        return found

    @functools.cached_property
    def features(self) -> Array:
        """Features (network, feature); NaN throughout of a population without any.

        Raises
        ------
        SolspaceError
            Where no population has features; what to type is said.
        """
        if not self.features_named:
            if not any(part.features_named for part in self.parts):
                raise SolspaceError(f"{self.name} has no features; {self.to_make('features')}")
            raise SolspaceError(f"the populations of {self.name} have no feature in common")
        rows = []
        for part in self.parts:
            at = {name: i for i, name in enumerate(part.features_named)}
            if at:
                rows.append(part.features[:, [at[name] for name in self.features_named]])
            else:
                rows.append(np.full((part.networks, len(self.features_named)), np.nan))
        return np.concatenate(rows)

    @property
    def without_features(self) -> list[Explored]:
        """Populations that have none, where others do."""
        return [part for part in self.parts if not part.features_named]

    def to_make(self, stage: str) -> str:
        """What makes what a stage fills, with the store's own name, or why it cannot be made."""
        return self.parts[0].to_make(stage)

    # ---------------------------------------------------------------- one network

    def look_at(self, index: int) -> None:
        """Read what weights, graph and fixed points of one network are made from, all at once."""
        part, at = self.part(index)
        part.look_at(at)

    def weights(self, index: int) -> dict[str, NDArray[Any]]:
        """The weights of one network, without padding."""
        part, at = self.part(index)
        return part.weights(at)

    def run(self, index: int, given: NDArray[np.floating[Any]]) -> tuple[Array, Array]:
        """States and outputs (trial, time, ...) of one network on inputs (trial, time, channel)."""
        part, at = self.part(index)
        return part.run(at, given)

    def trajectories(self, index: int) -> list[Array]:
        """Activity (time, unit) of one network, or recording, on some trials."""
        part, at = self.part(index)
        return part.trajectories(at)

    def loss_curve(self, index: int) -> Array | None:
        """The loss of one network on the way down; None where it was not kept."""
        part, at = self.part(index)
        return part.loss_curve(at)

    def graph(self, index: int) -> Graph:
        """The graph of one network."""
        part, at = self.part(index)
        return part.graph(at)

    def failed(self, stage: str, index: int) -> str:
        """Why a stage failed for a network; empty where it did not."""
        part, at = self.part(index)
        return part.failed(stage, at)

    def column_of(self, name: str) -> NDArray[Any]:
        """There is none of all; each population has its own."""
        raise SolspaceError(f"{self.name} is {len(self.parts)} populations; ask seen.parts")

    def fixed_points(self, index: int) -> tuple[Array, list[str]]:
        """States (point, state) and kinds of one network's fixed points."""
        part, at = self.part(index)
        return part.fixed_points(at)

    def copied(self) -> Together:
        """The same, which holds nothing yet: for a thread of its own."""
        return Together([part.copied() for part in self.parts])

    def replaced(self, fresh: Explored) -> Together:
        """The same, with another population in place of that of its name."""
        return Together([fresh if part.name == fresh.name else part for part in self.parts])


def _short_names(parts: Sequence[Explored]) -> list[str]:
    """The last piece of each name; the whole where two would be called alike."""
    last = [part.name.rsplit("/", 1)[-1] for part in parts]
    counts = Counter(last)
    return [
        short if counts[short] == 1 else part.name for short, part in zip(last, parts, strict=True)
    ]


def open_explored(source: Any, *, recordings: Any = None) -> dict[str, Explored]:
    """The populations of a store, or of what lies in memory, by name.

    Of a task with several populations of networks there is one more entry, ``TASK (together)``;
    recordings come last.

    Parameters
    ----------
    source : str, path, Dataset, DataTree or mapping
        A store (a folder, or an address as ``s3://...``), which is only read; a population, or a
        mapping of its groups by name; the tree of `solspace.open_store`; or a mapping of several
        populations, each by a name of yours.
    recordings : str, path, Dataset, DataTree or mapping, optional
        Where further recordings are, as of `solspace.recording_from_nwb`; networks there are left
        out.

    Raises
    ------
    SolspaceError
        Where there is no store, or nothing in it.

    Examples
    --------
    >>> import solspace
    >>> ds = solspace.new_population("interval_reproduction", "gru", networks=2, hidden_size=5)
    >>> list(open_explored(ds))
    ['interval_reproduction/gru']
    >>> list(open_explored({"mine": ds, "yours": ds}))[1:]
    ['interval_reproduction/yours', 'interval_reproduction (together)']
    """
    found = read_populations(source)
    if recordings is not None:
        more = {k: v for k, v in read_populations(recordings).items() if v.of_recordings}
        if not more:
            raise SolspaceError(
                f"{recordings if isinstance(recordings, str) else 'what was given'} has no "
                "recordings; import some with `solspace import-recording STORE FILE.nwb ...`, or "
                "give what solspace.recording_from_nwb returns"
            )
        for name, seen in more.items():
            seen.apart = True
            if name in found:  # each its own name, as the address of a page holds it
                seen.name = f"{name} ({os.path.basename(seen.path.rstrip('/')) or 'given'})"
            found[seen.name] = seen
    return _joined(found)


def _joined(populations: Mapping[str, Explored]) -> dict[str, Explored]:
    """Populations by name, then those of each task with several together, recordings last."""
    networks = {k: v for k, v in populations.items() if not v.of_recordings}
    tasks: dict[str, list[Explored]] = {}
    for seen in networks.values():
        if seen.task_name:
            tasks.setdefault(seen.task_name, []).append(seen)
    joined = [Together(parts) for parts in tasks.values() if len(parts) > 1]
    return networks | {one.name: one for one in joined} | dict(populations)
