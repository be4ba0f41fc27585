"""Who may write to a store behind an address: one run, as long as it says that it lives.

A bucket has no locks that the system drops when their holder dies. The lock is an object beside
the store, ``STORE.lock``, put there on the condition that there is none, and renewed every minute
on the condition that it is still the one put last. One that was not renewed for ten minutes is of
a run that died: the next one takes it over, on that same condition. A run that finds its lock
taken, or that could not renew it for so long that it may have been, writes nothing more. Servers
that do not keep to conditions are told by trying, and refused.

Times are the server's own, of when it was given an object, so that clocks need not agree.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from solspace.errors import SolspaceError
from solspace.store import place

__all__ = ["RENEWED", "STALE", "check", "check_conditions", "hold", "is_held", "look"]

RENEWED = 60.0  # seconds
STALE = 600.0
# A holder gives up some time before another may take over.
_GIVEN_UP = STALE - 2 * RENEWED

_tried: dict[int, Any] = {}
_held: dict[str, _Lease] = {}


def check_conditions(store: str) -> None:
    """Refuse a server that overwrites what was to be put only where there is nothing.

    Raises
    ------
    SolspaceError
        For such a server, a web server, and where nothing can be written.
    """
    client, name = _beside(store)
    if id(client) in _tried:
        return
    obstore, key = place.load_obstore(), f"{name}.{uuid.uuid4().hex[:8]}.try.lock"
    with place.told(store):
        kept = 0
        try:
            obstore.put(client, key, b"solspace tries", mode="create")
            with contextlib.suppress(obstore.exceptions.NotSupportedError):
                for mode in ("create", {"e_tag": '"00000000000000000000000000000000"'}):
                    try:
                        obstore.put(client, key, b"solspace tries again", mode=mode)
                    except (
                        obstore.exceptions.AlreadyExistsError,
                        obstore.exceptions.PreconditionError,
                    ):
                        kept += 1
        finally:
            with contextlib.suppress(Exception):
                obstore.delete(client, key)
    if kept < 2:
        raise SolspaceError(
            f"{store}: its server does not keep to conditions of a put (If-None-Match, If-Match), "
            "without which two runs may write at once; write the store on this machine and copy it "
            "there (docs/remote.md)"
        )
    _tried[id(client)] = client  # kept, so that no other gets its id


@contextlib.contextmanager
def hold(store: str, verb: str) -> Iterator[bool]:
    """Hold a store for writing, alone; whether the lock of a run that died was there.

    Raises
    ------
    SolspaceError
        Where another run holds it; it is named.
    """
    store = place.named(store)
    check_conditions(store)
    lease = _Lease(store, verb)
    killed = lease.take()
    _held[store] = lease
    try:
        yield killed
    finally:
        del _held[store]
        lease.give_back()


def is_held(store: str) -> bool:
    """Whether this process holds it."""
    return place.named(store) in _held


def check(store: str) -> None:
    """Before something is written: the lock that this process holds is there, and its own.

    Raises
    ------
    SolspaceError
        Where another run took it over, or it was deleted, or it may have been taken since it could
        not be renewed. Nothing where none is held, such as in a worker process.
    """
    lease = _held.get(place.named(store))
    if lease is not None:
        lease.check()


def look(store: str) -> tuple[dict[str, Any], str, datetime | None]:
    """What the lock of a store says, its tag, and when the server was given it, if there is one."""
    found = place.beside(store)
    if found is None:
        return {}, "", None
    with place.told(store, but=(FileNotFoundError,)):
        try:
            answer = place.load_obstore().get(found[0], f"{found[1]}.lock")
            text, meta = bytes(answer.bytes()), answer.meta
        except FileNotFoundError:
            return {}, "", None
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    return said if isinstance(said, dict) else {}, meta["e_tag"] or "", meta["last_modified"]


class _Lease:
    """One lock object, from when it is taken until it is given back."""

    def __init__(self, store: str, verb: str) -> None:
        self.store = store
        self.client, name = _beside(store)
        self.key = f"{name}.lock"
        self.token = uuid.uuid4().hex
        since = datetime.now(UTC).isoformat(timespec="seconds")
        self.note = (
            f"solspace {verb}, process {os.getpid()} on {socket.gethostname()}, since {since}"
        )
        self.tag = ""
        self.renewals = 0
        self.renewed = 0.0
        self.lost = ""
        self.busy = threading.Lock()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._renew_on, daemon=True)

    def _put(self, mode: Any) -> bool:
        """Put the lock on a condition; False where it does not hold."""
        obstore = place.load_obstore()
        began = time.monotonic()
        text = json.dumps({"held by": self.note, "renewals": self.renewals, "token": self.token})
        try:
            with place.told(self.store, but=self._refusals()):
                answer = obstore.put(self.client, self.key, text.encode(), mode=mode)
                self.tag = answer["e_tag"]
        except self._refusals():
            # A put that was sent twice, since its first answer was lost, is refused by itself.
            there, tag, _ = look(self.store)
            if there.get("token") != self.token:
                return False
            self.tag = tag
        self.renewed = began
        return True

    @staticmethod
    def _refusals() -> tuple[type[Exception], ...]:
        told = place.load_obstore().exceptions
        # Without an object there is nothing to match, which some servers call not found.
        return (told.AlreadyExistsError, told.PreconditionError, FileNotFoundError)

    def take(self) -> bool:
        killed = False
        for _ in range(3):
            if self._put("create"):
                break
            there, tag, given = look(self.store)
            if given is None:
                continue  # given back meanwhile
            silent = (self._server_time() - given).total_seconds()
            if silent < STALE:
                raise SolspaceError(
                    f"{self.store}: is being written by another process "
                    f"({there.get('held by', 'unknown')}, heard of {_span(silent)} ago); wait "
                    "until it has ended, or stop it, and type the same command again. Where it "
                    f"was killed, its lock {self.key} is taken over {_span(STALE)} after it was "
                    "last heard of"
                )
            if killed := self._put({"e_tag": tag}):
                break
        else:
            raise SolspaceError(
                f"{self.store}: others take its lock {self.key} all the time; type the same "
                "command again"
            )
        self.thread.start()
        return killed

    def _server_time(self) -> datetime:
        obstore, key = (
            place.load_obstore(),
            f"{self.key.removesuffix('.lock')}.{self.token[:8]}.now.lock",
        )
        with place.told(self.store):
            try:
                obstore.put(self.client, key, b"solspace asks the time")
                now: datetime = obstore.head(self.client, key)["last_modified"]
            finally:
                with contextlib.suppress(Exception):
                    obstore.delete(self.client, key)
        return now

    def _renew_on(self) -> None:
        wait = RENEWED
        while not self.ended.wait(wait):
            wait = RENEWED
            with self.busy, contextlib.suppress(SolspaceError):
                wait = RENEWED / 6  # where the server does not answer: sooner
                self.renewals += 1
                if not self._put({"e_tag": self.tag}):
                    self.lost = f"its lock {self.key} was taken over or deleted"
                    return
                wait = RENEWED

    def check(self) -> None:
        with self.busy:
            if not self.lost and time.monotonic() - self.renewed > _GIVEN_UP:
                self.lost = f"its lock {self.key} could not be renewed"
            if not self.lost:
                with place.told(self.store, but=(FileNotFoundError,)):
                    try:
                        tag = place.load_obstore().head(self.client, self.key)["e_tag"]
                    except FileNotFoundError:
                        tag = None
                if tag != self.tag:
                    self.lost = f"its lock {self.key} was taken over or deleted"
            if self.lost:
                raise SolspaceError(
                    f"{self.store}: {self.lost} while it was being written, and another process "
                    "may be writing by now; nothing more is written. What is stored is whole: see "
                    "that no other solspace writes there, and type the same command again"
                )

    def give_back(self) -> None:
        self.ended.set()
        if self.thread.is_alive():
            self.thread.join()
        # Not where the server is gone: the lock is taken over some minutes later.
        with contextlib.suppress(SolspaceError):
            self.check()
            with place.told(self.store):
                place.load_obstore().delete(self.client, self.key)


def _beside(store: str) -> tuple[Any, str]:
    store = place.named(store)
    place.opened(store, "r+")  # refuses what is read only
    found = place.beside(store)
    if found is None:
        raise SolspaceError(
            f"{store}: is a whole bucket, and the lock of a store lies beside it; give a folder "
            f"inside, such as {store}/STORE.zarr"
        )
    return found


def _span(seconds: float) -> str:
    seconds = max(round(seconds), 0)
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
