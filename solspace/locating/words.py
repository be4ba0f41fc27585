"""What `locate` found, as text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from solspace.diversity.labels import aligned
from solspace.similarity import get_measure

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["location_table"]


def location_table(out: xr.Dataset) -> str:
    """What `solspace.locate` found, some twenty lines.

    Examples
    --------
    >>> import solspace
    >>> callable(location_table)
    True
    """
    attrs = out.attrs
    names = dict(zip(out["class_name"].values.tolist(), out["short_name"].values, strict=True))
    trials = out["trials"].values
    least, most = round(float(trials.min())), round(float(trials.max()))
    each = f"{least}" if least == most else f"{least} to {most}"
    lines = [
        f"seen: {attrs['units']} units, {len(trials)} conditions of {each} trials, epochs "
        f"{attrs['epochs']}; spikes vary {attrs['fano']:.2f} times as Poisson's",
        *(f"  {note}" for note in filter(None, attrs["notes"].split("; "))),
        *(f"  left out: {why}: {n}" for why, n in json.loads(attrs["left_out"]).items()),
        f"held against {attrs['networks']} networks seen through the same electrodes",
        *(f"  left out: {why}: {n}" for why, n in json.loads(attrs["excluded"]).items()),
        "",
    ]
    order = out["probability"].values.argsort()[::-1]
    rows = [("class", "probability", "prior", "networks")]
    for k in order.tolist():
        one = out.isel(class_name=k)
        rows.append(
            (
                str(one["short_name"].item()),
                f"{one['probability'].item():.2f}",
                f"{one['prior'].item():.2f}",
                str(int(one["networks"].item())),
            )
        )
    lines += aligned(rows)
    verdict = str(out["verdict"].item())
    reason = str(out["reason"].item())
    lines += ["", f"verdict: {names.get(verdict, verdict)}" + (f" ({reason})" if reason else "")]
    lines.append(f"  the recording speaks for the likeliest {out['evidence'].item():.1f} to 1")
    lines.append(
        f"  conditions shuffled {out.sizes['shuffle']} times: p = {out['p_value'].item():.3f}"
    )
    if "agreement" in out:
        lines.append(
            f"  halves of the trials: {out['agreement'].item():.0%} say the same; reliability of "
            f"averages {out['reliability'].item():.2f}"
        )
    lines.append(
        f"  {out['typicality'].item():.0%} of the networks are as far from all others as it is"
    )
    right = f", of these {out['right'].item():.0%} right" if "right" in out else ""
    lines.append(
        f"  networks held out: kappa {out['kappa'].item():.2f} ({out['kappa_low'].item():.2f} to "
        f"{out['kappa_high'].item():.2f}); sure of {out['told'].item():.0%}{right}"
    )
    if "nearest_network" in out:
        lines += ["", "nearest networks:"]
        for name in out["measure"].values.tolist():
            one = out.sel(measure=name)
            way = "smaller" if get_measure(name).direction == "distance" else "larger"
            found = [
                f"{network} {value:.2f} ({names.get(key, 'in no class')})"
                for network, value, key in zip(
                    one["nearest_network"].values.tolist(),
                    one["nearest_value"].values.tolist(),
                    one["nearest_class"].values.tolist(),
                    strict=True,
                )
            ]
            lines.append(f"  {name} ({way} is nearer): {', '.join(found[:3])}")
    return "\n".join(lines)
