"""Variables of architectures alone: parameters and parts of the state beyond the common ones."""

from __future__ import annotations

from solspace.errors import SolspaceError
from solspace.population.trained import CHECKPOINT_PREFIX
from solspace.population.variables import Variable

__all__ = ["architecture_variables", "parameter_declarations"]

_PADDED = "; NaN past hidden_size"


def _records(architecture: str | None) -> list[object]:
    from solspace.networks import architecture_names, get_architecture

    if architecture is None:
        return [get_architecture(name) for name in architecture_names("recurrent")]
    try:
        return [get_architecture(architecture)]
    except SolspaceError:  # not known here, such as one of somebody's own
        return []


def parameter_declarations(architecture: str | None) -> tuple[Variable, ...]:
    """Parameters beyond the six, before and after training and at checkpoints.

    Examples
    --------
    >>> [v.name for v in parameter_declarations("leaky")], parameter_declarations("gru")
    (['alpha'], ())
    """
    found: dict[tuple[str, str], Variable] = {}

    def add(name: str, dims: tuple[str, ...], dtype: str, meaning: str, owner: str,
            group: str = "population", units: str | None = None,
            coordinate: bool = False) -> None:  # fmt: skip
        owners = found[group, name].architectures if (group, name) in found else ()
        found[group, name] = Variable(
            name, dims, dtype, meaning, units=units, group=group, coordinate=coordinate,
            architectures=(*(owners or ()), owner), fill=float("nan"),
        )  # fmt: skip

    for record in _records(architecture):
        for p in record.parameters:  # type: ignore[attr-defined]
            name = record.name  # type: ignore[attr-defined]
            pad = _PADDED if {"unit", "presynaptic_unit"} & {*p.dims} else ""
            at = ("network", *p.dims)
            if not p.trained:
                meaning = p.meaning + pad
                add(p.name, at, "float64", meaning, name, units=p.units, coordinate=True)
                continue
            add(p.name, at, "float32", p.meaning + pad, name, units=p.units)
            before = f"{p.meaning} before training{pad}"
            add(f"initial_{p.name}", at, "float32", before, name, units=p.units)
            add(
                CHECKPOINT_PREFIX + p.name, ("network", "checkpoint", *p.dims), "float32",
                f"{p.meaning} at the checkpoint{pad}", name, group="checkpoints", units=p.units,
            )  # fmt: skip
    return tuple(found.values())


def architecture_variables(architecture: str | None) -> tuple[Variable, ...]:
    """Parts of the state beyond the activity, as they are recorded.

    Examples
    --------
    >>> [v.name for v in architecture_variables("lstm")]
    ['cell_state']
    """
    found: dict[str, Variable] = {}
    for record in _records(architecture):
        for part in record.state[1:]:  # type: ignore[attr-defined]
            owners = found[part.name].architectures if part.name in found else ()
            found[part.name] = Variable(
                part.name,
                ("network", "trial", "time", "unit"),
                "float32",
                part.meaning + _PADDED,
                group="training",
                architectures=(*(owners or ()), record.name),  # type: ignore[attr-defined]
            )
    return tuple(found.values())
