"""Labels by name: those of this folder, found by themselves, and one's own."""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import pkgutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from solspace.errors import SolspaceError
from solspace.stages.carry import carry
from solspace.tasks import Task, get_task

if TYPE_CHECKING:
    from solspace.networks import Weights

__all__ = [
    "Label",
    "get_label",
    "label_names",
    "label_network",
    "label_stages",
    "register_label",
    "unregister_label",
]

L = TypeVar("L", bound="Label | Callable[..., Any]")


@dataclass(frozen=True)
class Label:
    """One way of telling solutions apart.

    Attributes
    ----------
    name : str
        Of the label, and of the variable along ``network`` that holds it.
    summary : str
        What two networks with one key have in common, such as "the same reduced-dynamics graph".
    compute : callable (task, architecture, weights, ...) -> str or (str, str)
        The key of one network's weights (see `solspace.networks`; without padding), the same on
        every machine, and, where it has some, words about it.
    stage : str
        The stage that fills the variable; empty where none does, and the stage ``label`` computes
        it from the weights.
    words : str
        The variable along ``network`` that holds the words; empty where there is none.
    options : callable (attrs) -> mapping
        The options with which a population's own were computed, from its attributes; checkpoints
        are labelled with them too.

    Examples
    --------
    >>> get_label("automaton_key").stage
    'reduce'
    """

    name: str
    summary: str
    compute: Callable[..., str | tuple[str, str]]
    stage: str = ""
    words: str = ""
    options: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    def both(
        self, task: Task, architecture: str, weights: Weights, **options: Any
    ) -> tuple[str, str]:
        """The key of one network, and words about it, which may be empty."""
        parameters = inspect.signature(self.compute).parameters
        known = [n for n, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY]
        if unknown := [name for name in options if name not in known]:
            raise SolspaceError(
                f"label {self.name!r} has no option {unknown[0]!r}; options: "
                f"{', '.join(known) or 'none'}"
            )
        found = self.compute(task, architecture, weights, **options)
        key, words = (found, "") if isinstance(found, str) else found
        if not isinstance(key, str) or not key:
            raise SolspaceError(f"label {self.name!r} gave {key!r} for a network; give a string")
        return key, words

    def key_of(self, task: Task, architecture: str, weights: Weights, **options: Any) -> str:
        """The key of one network."""
        return self.both(task, architecture, weights, **options)[0]

    def describe(self, task: Task, architecture: str, weights: Weights, **options: Any) -> str:
        """What the label says of one network, in words; empty where it has none."""
        return self.both(task, architecture, weights, **options)[1]

    def options_of(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """The options with which a population's own were computed."""
        return dict(self.options(attrs)) if self.options else {}


_lock = threading.RLock()
_looked_at: set[str] = set()
_listed: list[int] = []
_found: dict[str, Label] = {}
_own: dict[str, Label] = {}


def _labels() -> dict[str, Label]:
    """Those of the files of this folder, also of files that are new, and one's own."""
    global _listed
    package = importlib.import_module("solspace.labels")
    with _lock:
        # A folder's time changes when a file is put in, and asking for it is cheap.
        times = [os.stat(folder).st_mtime_ns for folder in package.__path__]
        for module in pkgutil.iter_modules(package.__path__) if times != _listed else ():
            # The stage asks for labels while it is being imported.
            if module.name in _looked_at or module.name == "stage":
                continue
            loaded = importlib.import_module(f"{package.__name__}.{module.name}")
            label = getattr(loaded, "LABEL", None)
            if isinstance(label, Label):
                if label.name in _found:
                    raise SolspaceError(
                        f"{loaded.__file__}: there is a label {label.name!r} already; give this "
                        "one another name"
                    )
                _found[label.name] = label
            _looked_at.add(module.name)
        _listed = times
        return {**_found, **_own}


def label_names() -> tuple[str, ...]:
    """Names of the labels there are: those of the package, then one's own.

    Examples
    --------
    >>> {"automaton_key", "graph_key"} <= set(label_names())
    True
    """
    return tuple(_labels())


def label_stages() -> tuple[str, ...]:
    """The stages that fill labels.

    Examples
    --------
    >>> "reduce" in label_stages()
    True
    """
    return tuple(dict.fromkeys(label.stage for label in _labels().values() if label.stage))


def get_label(label: str | Label) -> Label:
    """The label of that name; a `Label` is returned as it is.

    Raises
    ------
    SolspaceError
        Where there is none; the message lists those there are.

    Examples
    --------
    >>> get_label("colour")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: unknown label 'colour'; labels: ...
    """
    if isinstance(label, Label):
        return label
    known = _labels()
    if label not in known:
        raise SolspaceError(
            f"unknown label {label!r}; labels: {', '.join(known)} "
            "(one of your own: solspace.register_label)"
        )
    return known[label]


def label_network(
    task: str | Task, architecture: str, weights: Weights, label: str | Label, **options: Any
) -> str:
    """Any label of one network, from its weights.

    Parameters
    ----------
    task : str or Task
    architecture : str
    weights : mapping
        One network's parameters without padding, as `solspace.network_weights` gives them.
    label : str or Label
    **options
        Of the label: ``method`` for those of graphs, as for `solspace.reduce`.

    Returns
    -------
    str

    Raises
    ------
    SolspaceError
        For an unknown label or option, and where this network has no such label, such as where
        its dynamics cannot be reduced to a graph.

    Examples
    --------
    >>> import numpy as np
    >>> from solspace.networks import parameter_shapes
    >>> rng = np.random.default_rng(1)
    >>> shapes = parameter_shapes("vanilla", 20, inputs=2, outputs=1)
    >>> weights = {name: rng.normal(0, 0.3, shape) for name, shape in shapes.items()}
    >>> label_network("interval_reproduction", "vanilla", weights, "graph_key")
    'v1:0|set>0'
    """
    return get_label(label).key_of(get_task(task), architecture, weights, **options)


def register_label(label: L) -> L:
    """Make a label of one's own known by its name, for this process and its workers.

    Parameters
    ----------
    label : Label or function
        A record, or, as a decorator, a function of task, architecture and weights that returns the
        key, or the key and words. Its name is the label's, the first line of its docstring the
        summary.

    Returns
    -------
    Label or function
        What was given.

    Raises
    ------
    SolspaceError
        Where a label of the package has its name, or it has no summary.

    Examples
    --------
    >>> @register_label
    ... def sign_of_bias(task, architecture, weights):
    ...     '''The sign of the readout's bias.'''
    ...     return "positive" if weights["bias_out"][0] > 0 else "negative"
    >>> "sign_of_bias" in label_names()
    True
    >>> unregister_label("sign_of_bias")
    """
    record = label if isinstance(label, Label) else _of_function(label)
    if not record.name.isidentifier() or not record.summary.strip():
        raise SolspaceError(
            f"label {record.name!r} with summary {record.summary!r}; give a name that Python takes "
            "as one, and a summary (a function's docstring) of what networks of one key share"
        )
    with _lock:
        if record.name in _labels() and record.name not in _own:
            raise SolspaceError(
                f"a label of the package is named {record.name!r} too; give yours another name"
            )
        _own[record.name] = record
    return label


def _of_function(function: Callable[..., Any]) -> Label:
    if not callable(function):
        raise SolspaceError(
            f"register_label was given {function!r}; give a solspace.labels.Label, or a function "
            "of task, architecture and weights"
        )
    summary = (inspect.getdoc(function) or "").split("\n")[0].strip().rstrip(".")
    return Label(function.__name__, summary, function)


def unregister_label(name: str) -> None:
    """Forget a label of one's own.

    Raises
    ------
    SolspaceError
        Where there is none of that name.
    """
    with _lock:
        if name not in _own:
            raise SolspaceError(
                f"no label of your own is named {name!r}; there are: {', '.join(_own) or 'none'}"
            )
        del _own[name]


def _send() -> bytes:
    if not _own:
        return b""
    import cloudpickle

    try:
        return cloudpickle.dumps(list(_own.values()))
    except Exception as error:
        raise SolspaceError(
            f"a label of your own ({', '.join(_own)}) cannot be sent to workers: {error}; let it "
            "use nothing but arrays, numbers and imported modules, or leave out --workers"
        ) from error


def _take(sent: bytes) -> None:
    own = pickle.loads(sent) if sent else []
    with _lock:
        _own.clear()
        _own.update({label.name: label for label in own})


carry("labels", _send, _take)
