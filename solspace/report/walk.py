"""A graph to walk through: from the start, along what the network does or is given."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from solspace.tasks.symbols import named_symbol

if TYPE_CHECKING:
    from solspace.reduction.graph import Graph

__all__ = ["SCRIPT", "walk"]


def walk(graph: Graph, inputs: Sequence[str], outputs: Sequence[str], who: str) -> str:
    """The place where the page's script puts buttons, with all that it has to know.

    Parameters
    ----------
    graph : Graph
    inputs : sequence of str
        Names of input symbols; the first is none.
    outputs : sequence of str
        Names of the task's outputs.
    who : str
        The network, for readers who cannot see the picture.

    Examples
    --------
    >>> from solspace.reduction.graph import Graph
    >>> walk(Graph([0, 1], [0], [1], [1]), ["autonomous", "set"], ["go"], "20_i000")[:44]
    '<div class="walk" role="group" aria-label="W'
    """
    told = {
        "output": [
            "silent" if not value else f"puts out {named_symbol(value, outputs)}"
            if len(outputs) > 1
            else f"puts out {value}"
            for value in graph.node_output.tolist()
        ],
        "edges": [
            [s, t, inputs[k] if k else ""]
            for s, t, k in zip(
                graph.edge_source.tolist(), graph.edge_target.tolist(), graph.edge_symbol.tolist(),
                strict=True,
            )
        ],
    }  # fmt: skip
    return (
        f'<div class="walk" role="group" aria-label="Walk through the graph of {escape(who)}" '
        f'data-graph="{escape(json.dumps(told))}"></div>'
    )


SCRIPT = """<script>
document.querySelectorAll(".walk").forEach(function (place) {
  var graph = JSON.parse(place.dataset.graph), steps = [], at = 0;
  function button(text, act) {
    var made = document.createElement("button");
    made.type = "button"; made.textContent = text; made.onclick = act;
    return made;
  }
  function show(moved) {
    place.textContent = "";
    var where = document.createElement("p");
    where.setAttribute("aria-live", "polite");
    where.textContent = (at ? "Node " + at : "The start") + ": the network is " +
      graph.output[at].replace("puts out", "putting out") + ".";
    place.append(where);
    graph.edges.filter(function (edge) { return edge[0] === at; }).forEach(function (edge) {
      var to = edge[1] === at ? "stays" : "to node " + edge[1];
      place.append(button((edge[2] || "left alone") + ": " + to, function () {
        steps.push([edge[2] || "left alone", graph.output[edge[1]]]); at = edge[1]; show(true);
      }));
    });
    if (steps.length) {
      place.append(button("back to the start", function () { steps = []; at = 0; show(true); }));
      var way = document.createElement("p");
      way.textContent = "So far: " + steps.slice(-8).map(function (s) {
        return s[0] + ", " + s[1];
      }).join("; ") + ".";
      place.append(way);
    }
    if (moved && place.querySelector("button")) place.querySelector("button").focus();
  }
  show(false);
});
</script>"""
