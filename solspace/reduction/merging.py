"""Trajectories joined where they run together: the fine graph, one node a time step.

In the fine graph a node has at most one autonomous successor, so that flow is one array of
integers; the few pulses are a dictionary. Between two nodes, in one direction, there is one edge:
what is there stays, and an edge that would lie beside it is lost (so it is in the published
graphs).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from solspace.reduction.graph import ReductionError
from solspace.reduction.support_vector import margin
from solspace.reduction.trajectories import Chain, speeds

__all__ = ["TrajectoryGraph", "flow_paths", "meeting_point"]

CHAIN_OUTPUT_LIMIT = 0.01
COMPONENT_OUTPUT_LIMIT = 0.1
SETTLED_DISTANCE = 1e-3
CYCLE_LENGTH_RATIO = (0.8, 1.2)
CYCLE_MARGIN = 0.1
SHORT_CYCLE = 10

Nodes = NDArray[np.int64]


# ------------------------------------------------------------------------- where stretches meet


@njit(cache=True, nogil=True, error_model="numpy")
def _aligned(old, new, first_row):  # type: ignore[no-untyped-def]
    """Diagonal on which two stretches run together, or a value that is none.

    Along each diagonal pairs are looked at from the end backwards: a pair counts while it and
    every later one are nearer than their mean speed. ``first_row`` is filled with the row of the
    earliest such pair of each diagonal (diagonal ``column - row + rows - 1``), -1 for none.
    """
    rows, size = old.shape
    columns = new.shape[0]
    old_speed, new_speed = speeds(old), speeds(new)
    nearest = np.full(columns, np.inf)
    nearest_row = np.zeros(columns, np.int64)
    for d in range(1 - rows, columns):
        j = min(columns - 1, rows - 1 + d)
        worst = 0.0
        for i in range(j - d, max(-d, 0) - 1, -1):
            j = i + d
            distance = 0.0
            for u in range(size):
                step = old[i, u] - new[j, u]
                distance += step * step
            distance = np.sqrt(distance)
            last = False
            if distance > 1e-3:
                relative = 2 * distance / (old_speed[i] + new_speed[j])
                worst = max(worst, relative)
                # The pair itself still counts; the ones before it do not.
                a, b = old_speed[i] + 1e-10, new_speed[j] + 1e-10
                last = relative > 5 or a > 10 * b or b > 10 * a
            if not worst < 1:
                break
            first_row[d + rows - 1] = i
            if worst < nearest[j] or (worst == nearest[j] and i < nearest_row[j]):
                nearest[j] = worst
                nearest_row[j] = i
            if last:
                break
    # Each state of the newcomer votes for the diagonal of its nearest partner.
    nobody = rows + columns
    votes = np.zeros(rows + columns, np.int64)
    order = np.empty(rows + columns, np.int64)
    voted = 0
    last_vote = nobody
    best = np.inf
    for j in range(columns):
        if nearest[j] < 1:
            best = min(best, nearest[j])
            last_vote = j - nearest_row[j] + rows - 1
            if votes[last_vote] == 0:
                order[voted] = last_vote
                voted += 1
            votes[last_vote] += 1
            if best == 0:
                break
    if voted == 0:
        return nobody
    leader = order[0]
    for v in range(1, voted):
        if votes[order[v]] > votes[leader]:
            leader = order[v]
    second = 0
    for v in range(voted):
        if order[v] != leader:
            second = max(second, votes[order[v]])
    if not (votes[leader] > 3 or best < 0.01 or abs(rows - columns) < 5):
        return nobody
    if second and votes[leader] > 2 * second:
        return leader
    return last_vote


def meeting_point(old: Chain, new: Chain, output_limit: float) -> tuple[int, int] | None:
    """The earliest aligned pair from which two stretches run together to the end of one.

    Parameters
    ----------
    old, new : Chain
    output_limit : float
        From the pair on, no two outputs differ by more.

    Returns
    -------
    (index into old, index into new) or None

    Examples
    --------
    >>> decay = 0.9 ** np.arange(60.0)
    >>> chain = Chain(np.stack([decay, decay], axis=1), decay)
    >>> meeting_point(chain, chain.part(10), 0.01)
    (10, 0)
    """
    rows, columns = len(old), len(new)
    first_row = np.full(rows + columns - 1, -1, np.int64)
    diagonal = _aligned(old.states, new.states, first_row)
    if diagonal >= rows + columns:
        return None
    row = int(first_row[diagonal])
    shift = int(diagonal) - rows + 1
    length = min(rows - row, columns - row - shift)
    apart = np.abs(old.output[row : row + length] - new.output[row + shift : row + shift + length])
    wrong = np.flatnonzero(apart > output_limit)
    if wrong.size:
        row += int(wrong[-1]) + 1
        if wrong[-1] + 1 == length:
            return None
    return row, row + shift


# --------------------------------------------------------------------------- paths of the flow


@njit(cache=True, nogil=True)
def _flow_paths(successor, alive):  # type: ignore[no-untyped-def]
    n = successor.size
    sources = np.ones(n, np.bool_)
    for i in range(n):
        if alive[i] and successor[i] >= 0:
            sources[successor[i]] = False
    # Components, numbered by their lowest node; the cycle of each, entered from that node.
    component = np.full(n, -1, np.int64)
    stamp = np.full(n, -1, np.int64)
    visited = np.zeros(n, np.bool_)
    nodes = np.empty(2 * n + 1, np.int64)
    ends = np.empty(n + 1, np.int64)
    owner = np.empty(n + 1, np.int64)
    filled = 0
    count = 0
    components = 0
    for i in range(n):
        if not alive[i] or component[i] >= 0:
            continue
        at = i
        while True:
            stamp[at] = i
            following = successor[at]
            if following < 0 or component[following] >= 0 or stamp[following] == i:
                break
            at = following
        following = successor[at]
        if following >= 0 and component[following] >= 0:
            number = component[following]
        else:
            number = components
            components += 1
            if following >= 0 and following != at:
                entry = following
                while True:
                    nodes[filled] = following
                    visited[following] = True
                    filled += 1
                    following = successor[following]
                    if following == entry:
                        break
                ends[count] = filled
                owner[count] = number
                count += 1
        at = i
        while at >= 0 and component[at] < 0:
            component[at] = number
            at = successor[at]
    for i in range(n):
        if not alive[i] or not sources[i]:
            continue
        begin = filled
        at = i
        nodes[filled] = at
        filled += 1
        visited[at] = True
        while successor[at] >= 0 and successor[at] != at:
            at = successor[at]
            nodes[filled] = at
            filled += 1
            if visited[at]:
                break
            visited[at] = True
        if filled - begin > 1:
            ends[count] = filled
            owner[count] = component[i]
            count += 1
        else:
            filled = begin
    return nodes[:filled], ends[:count], owner[:count], component, components


def flow_paths(
    successor: Nodes, alive: NDArray[np.bool_]
) -> tuple[list[list[Nodes]], NDArray[np.int64]]:
    """The flow taken apart into paths: by component its cycle and the way from each source.

    A way ends with the first node that an earlier path went through. Components come in the
    order of their lowest node, the ways of one in the order of their sources, only the last one
    is put first. Paths of a single node are left out.

    Parameters
    ----------
    successor : array (node,)
        -1 where the flow ends.
    alive : array (node,), bool
        The nodes there are.

    Returns
    -------
    paths : list, one item a component, of lists of arrays of nodes
    component : array (node,)
        -1 where not alive.

    Examples
    --------
    >>> paths, component = flow_paths(np.array([1, 2, -1, 1]), np.ones(4, bool))
    >>> [path.tolist() for path in paths[0]]
    [[3, 1], [0, 1, 2]]
    """
    nodes, ends, owner, component, components = _flow_paths(successor, alive)
    paths: list[list[Nodes]] = [[] for _ in range(components)]
    begin = 0
    for end, number in zip(ends.tolist(), owner.tolist(), strict=True):
        paths[number].append(nodes[begin:end])
        begin = end
    return [group[-1:] + group[:-1] for group in paths], component


# --------------------------------------------------------------------------- the fine graph


class TrajectoryGraph:
    """The fine graph while it is put together.

    Attributes
    ----------
    states : array (node, state)
    output : array (node,)
    successor : array (node,)
        Where autonomous flow leads within one step; -1 nowhere.
    alive : array (node,), bool
    pulses : dict of (source, target) to symbol
    root : int
    """

    def __init__(self, chain: Chain) -> None:
        capacity = 4 * len(chain)
        self.states = np.zeros((capacity, chain.states.shape[1]))
        self.output = np.zeros(capacity)
        self.successor = np.full(capacity, -1, np.int64)
        self.alive = np.zeros(capacity, bool)
        self.pulses: dict[tuple[int, int], int] = {}
        self.root = 0
        self._add_chain(chain, 0)

    def _add_chain(self, chain: Chain, start: int) -> None:
        stop = start + len(chain)
        if stop > len(self.alive):
            more = max(stop, 2 * len(self.alive)) - len(self.alive)
            self.states = np.concatenate([self.states, np.zeros((more, self.states.shape[1]))])
            self.output = np.concatenate([self.output, np.zeros(more)])
            self.successor = np.concatenate([self.successor, np.full(more, -1, np.int64)])
            self.alive = np.concatenate([self.alive, np.zeros(more, bool)])
        self.states[start:stop] = chain.states
        self.output[start:stop] = chain.output
        self.successor[start:stop] = np.arange(start + 1, stop + 1)
        self.successor[stop - 1] = start + chain.loop if chain.loop >= 0 else -1
        self.alive[start:stop] = True

    # ------------------------------------------------------------------ looking

    def require(self, node: int) -> int:
        """The node, or an error where it is not there.

        Raises
        ------
        ReductionError
        """
        if not (0 <= node < len(self.alive) and self.alive[node]):
            raise ReductionError(
                f"a pulse was to be given at node {node}, which is not there: "
                "its chain is shorter, or was lost when two cycles were merged"
            )
        return int(node)

    def chain(self, path: Nodes) -> Chain:
        """States and outputs along a path."""
        return Chain(self.states[path], self.output[path])

    def target(self, node: int, symbol: int) -> int | None:
        """Where the first pulse of that symbol given at a node leads; None where there is none."""
        for (source, target), carried in self.pulses.items():
            if source == node and carried == symbol:
                return target
        return None

    def flow_from(self, node: int) -> Nodes:
        """The nodes autonomous flow goes through from a node on, each once."""
        path = [node]
        seen = {node}
        while (following := int(self.successor[path[-1]])) >= 0 and following not in seen:
            path.append(following)
            seen.add(following)
        return np.array(path)

    def _successors(self, node: int) -> list[int]:
        flow = int(self.successor[node])
        return ([flow] if flow >= 0 else []) + [t for s, t in self.pulses if s == node]

    def end_from(self, node: int) -> int:
        """The end of what follows a node, autonomous or by pulses.

        Where it comes round, the node from which it does; else the end of the longest way.
        """
        active: dict[int, list[int]] = {node: self._successors(node)}
        done: set[int] = set()
        while active:
            at = next(reversed(active))
            if not active[at]:
                done.add(at)
                del active[at]
                continue
            following = active[at].pop(0)
            if following in active:
                return at
            if following not in done:
                active[following] = self._successors(following)
        reached = done
        waiting = dict.fromkeys(reached, 0)
        for source in reached:
            for target in self._successors(source):
                waiting[target] += 1
        generation = [node]
        while True:
            following_generation = []
            for source in generation:
                for target in self._successors(source):
                    waiting[target] -= 1
                    if not waiting[target]:
                        following_generation.append(target)
            if not following_generation:
                return generation[0]
            generation = following_generation

    def cycles(self) -> list[Nodes]:
        """Limit cycles (of two nodes or more), each from its lowest node, lowest first."""
        paths, _ = flow_paths(self.successor, self.alive)
        found = [
            np.roll(path, -int(np.argmin(path)))
            for group in paths
            for path in group
            if self.successor[path[-1]] == path[0]
        ]
        return sorted(found, key=lambda cycle: int(cycle[0]))

    # ------------------------------------------------------------------ changing

    def remove(self, nodes: Nodes) -> None:
        """Take nodes out, with every edge to or from them."""
        self.alive[nodes] = False
        self.successor[nodes] = -1
        gone = (self.successor >= 0) & ~self.alive[self.successor]
        self.successor[gone] = -1
        self.pulses = {
            edge: symbol
            for edge, symbol in self.pulses.items()
            if self.alive[edge[0]] and self.alive[edge[1]]
        }

    def _put_pulse(self, source: int, target: int, symbol: int) -> None:
        if self.successor[source] != target and (source, target) not in self.pulses:
            self.pulses[source, target] = symbol

    def absorb(self, keep: int, drop: int, *, between: bool = True) -> int:
        """Make one node of two; edges of the second become edges of the first.

        Returns
        -------
        int
            A second autonomous successor the node now would have, which the caller must deal
            with; -1 where there is none.
        """
        incoming = np.flatnonzero(self.successor == drop).tolist()
        pulses = [(edge, symbol) for edge, symbol in self.pulses.items() if drop in edge]
        leaving = int(self.successor[drop])
        for edge, _ in pulses:
            del self.pulses[edge]
        self.successor[incoming] = -1
        self.successor[drop] = -1
        self.alive[drop] = False
        if self.root == drop:
            self.root = keep
        for source in incoming:
            if source == drop or (source == keep and not between):
                continue
            if (source, keep) not in self.pulses:
                self.successor[source] = keep
        for (source, target), symbol in pulses:
            if {source, target} == {keep, drop} and not between:
                continue
            self._put_pulse(
                keep if source == drop else source, keep if target == drop else target, symbol
            )
        if leaving == drop or (leaving == keep and between):
            leaving = keep
        elif leaving == keep:
            leaving = -1
        if leaving < 0 or (keep, leaving) in self.pulses or self.successor[keep] == leaving:
            return -1
        if self.successor[keep] < 0:
            self.successor[keep] = leaving
            return -1
        return leaving

    def attach(self, node: int, chain: Chain, symbol: int) -> None:
        """Lead a pulse given at a node to a chain, and join the chain to what is there.

        Raises
        ------
        ReductionError
            Where the node is there no more.
        """
        self.require(node)
        start = int(np.flatnonzero(self.alive)[-1]) + 1
        self._add_chain(chain, start)
        self.pulses[node, start] = symbol
        if chain.loop >= 0:
            self._join_cycle(start + np.arange(chain.loop, len(chain)))
        else:
            self._join_chain(start, chain)

    def _join_chain(self, start: int, chain: Chain) -> None:
        earliest = len(chain)
        ahead: Nodes = np.empty(0, np.int64)
        paths, _ = flow_paths(self.successor, self.alive)
        for path in (path for group in paths for path in group):
            if path[0] == start:
                continue
            met = meeting_point(self.chain(path), chain, CHAIN_OUTPUT_LIMIT)
            if met is not None and met[1] < earliest:
                earliest, ahead = met[1], path[met[0] :]
        if not ahead.size:
            return
        # What is common is from now on described by the newcomer.
        rest = chain.part(earliest)
        common = min(len(ahead), len(rest))
        self.states[ahead[:common]] = rest.states[:common]
        self.output[ahead[:common]] = rest.output[:common]
        self.remove(np.arange(start + earliest + 1, start + len(chain)))
        self.absorb(int(ahead[0]), start + earliest, between=False)

    def _join_cycle(self, cycle: Nodes) -> None:
        short, long = CYCLE_LENGTH_RATIO
        limit = CYCLE_MARGIN if len(cycle) >= SHORT_CYCLE else 0.0
        same = [
            other
            for other in self.cycles()
            if cycle[0] not in other
            and short <= len(other) / len(cycle) <= long
            and margin(self.states[other], self.states[cycle]) <= limit
        ]
        if not same:
            return
        kept = same[0]
        for other in [cycle, *same[1:]]:
            away = np.linalg.norm(self.states[kept] - self.states[other[0]], axis=1)
            self.remove(other[1:])
            self.absorb(int(kept[np.argmin(away)]), int(other[0]))

    # ------------------------------------------------------------------ joining components

    def merge_components(self) -> None:
        """Join components that run together, until no two do."""
        while self._merge_two_components():
            pass

    def _merge_two_components(self) -> bool:
        paths, _ = flow_paths(self.successor, self.alive)
        if len(paths) < 2:
            return False
        for one in paths:
            for other in paths:
                if other is one:
                    continue
                met = self._components_meet(one, other)
                if met is not None:
                    self._zip(*met)
                    return True
        return False

    def _components_meet(self, one: list[Nodes], other: list[Nodes]) -> tuple[int, int] | None:
        best = 0
        met = None
        for path in one:
            earliest = len(path)
            found = None
            for partner in other:
                at = meeting_point(self.chain(partner), self.chain(path), COMPONENT_OUTPUT_LIMIT)
                if at is not None and at[1] < earliest:
                    earliest = at[1]
                    length = min(len(path) - at[1], len(partner) - at[0])
                    found = length, int(path[at[1]]), int(partner[at[0]])
            if found is not None and found[0] > best:
                best = found[0]
                met = found[1], found[2]
        return met

    def _zip(self, one: int, other: int) -> None:
        """Identify what follows two nodes, step by step, and then whatever that leaves forked."""
        second = -1
        for at, drop in zip(
            self.flow_from(one).tolist(), self.flow_from(other).tolist(), strict=False
        ):
            second = self.absorb(at, drop)
        while second >= 0:
            fork = sorted((int(self.successor[at]), second))
            second = self.absorb(*fork)
            at = fork[0]

    def remove_self_loops(self) -> None:
        """Drop every edge from a node to itself."""
        self.successor[self.successor == np.arange(len(self.successor))] = -1
        self.pulses = {e: symbol for e, symbol in self.pulses.items() if e[0] != e[1]}

    def sinks(self) -> list[int]:
        """One node a component in which its flow ends, or a node of the cycle it ends in."""
        _, component = flow_paths(self.successor, self.alive)
        entries = np.bincount(self.successor[self.successor >= 0], minlength=len(component))
        found = []
        for number in range(component.max() + 1):
            nodes = np.flatnonzero(component == number)
            ends = nodes[self.successor[nodes] < 0]
            joints = nodes[entries[nodes] > 1]
            found.append(int(ends[0] if ends.size else joints[0] if joints.size else nodes[-1]))
        return found

    def join_sinks(self, settle: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
        """Make one node of the sinks of all components where all of them end together.

        Parameters
        ----------
        settle : callable (array (sink, state)) -> array (sink, state)
            Where the network is long after.
        """
        sinks = self.sinks()
        if len(sinks) < 2:
            return
        ends = settle(self.states[sinks])
        apart = np.linalg.norm(ends[:, None] - ends, axis=-1)
        if apart.max() < SETTLED_DISTANCE:
            for sink in sinks[1:]:
                self.successor[sink] = -1
                self.absorb(sinks[0], sink, between=False)
