"""The bar of a stage on stderr, which also tells how far networks under way have come."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["Bar"]

_SHOWN = 2  # networks under way that are named


class Bar:
    """A bar over networks; of those that tell, it counts the share that is done.

    Parameters
    ----------
    what : str
        Before the bar.
    networks : int
        How many it is of.
    show : bool

    Examples
    --------
    >>> with Bar("train interval_reproduction/vanilla", 16, show=False) as bar:
    ...     bar.within("20_i000", 0.5, "loss 3.0e-04")
    ...     bar.text()
    ...     bar(1)
    '20_i000 loss 3.0e-04 (50%)'
    """

    def __init__(self, what: str, networks: int, show: bool) -> None:
        from tqdm import tqdm

        self._lock = threading.Lock()
        self._under_way: dict[str, tuple[float, str]] = {}
        self._threads: dict[int, str] = {}
        self._done = 0
        self._bar = tqdm(
            total=networks,
            unit="network",
            desc=what,
            disable=not show,
            dynamic_ncols=True,
            smoothing=0.1,
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def __call__(self, networks: int) -> None:
        """So many more are done; what this thread told of one under way is over."""
        with self._lock:
            self._under_way.pop(self._threads.pop(threading.get_ident(), ""), None)
            self._done += networks
            self._draw()

    def within(self, network: str, share: float, said: str) -> None:
        """A network that this thread computes has come so far."""
        with self._lock:
            self._threads[threading.get_ident()] = network
            before = self._under_way.get(network, (0.0, ""))[0]
            # Another attempt begins anew; what was done is not undone in the bar.
            self._under_way[network] = (max(before, min(share, 1.0)), said)
            # Tenths of networks, once there are any.
            self._bar.bar_format = _TENTHS
            self._draw()

    def text(self) -> str:
        """The networks under way, the furthest first."""
        rows = sorted(self._under_way.items(), key=lambda row: -row[1][0])
        named = [f"{name} {said} ({share:.0%})" for name, (share, said) in rows[:_SHOWN]]
        more = len(rows) - len(named)
        return ", ".join(named) + (f", {more} more" if more > 0 else "")

    def _draw(self) -> None:
        count: Any = self._done + sum(share for share, _ in self._under_way.values())
        self._bar.set_postfix_str(self.text(), refresh=False)
        self._bar.update(count - self._bar.n)


_TENTHS = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} [{elapsed}<{remaining}{postfix}]"
