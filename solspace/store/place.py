"""Where a store lies: a folder, a bucket, or a web server, and what Zarr opens there.

A folder stays the path that was given. An address becomes a store of Zarr that reads through
obstore, with two things that a folder does not need. Metadata are answered from the copy at the
root, fetched once an opening: a web server has no listing to find them by, and each would be a
request. And what a server answers is told in one line.

==================== ======================================= ===============================
address              is                                      credentials
==================== ======================================= ===============================
``s3://BUCKET/...``  a bucket of S3, or of what speaks it    ``AWS_...`` in the environment
``gs://BUCKET/...``  a bucket of Google                      ``GOOGLE_...``
``az://BOX/...``     a container of Azure                    ``AZURE_...``
``https://...``      any web server; read only               none
==================== ======================================= ===============================
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, NamedTuple

import zarr
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.sync import sync
from zarr.storage import ObjectStore

from solspace.errors import ClusterError, SolspaceError

__all__ = ["check_local", "exists", "group", "is_remote", "named", "one_moment", "opened"]

BUCKETS = ("s3", "gs", "az")
_BUCKET_URLS = tuple(f"{scheme}://" for scheme in BUCKETS)
SCHEMES = (*BUCKETS, "https", "http")

# What may change which server is asked, and as whom.
_SETTINGS = ("AWS_", "GOOGLE_", "AZURE_")
# Some seconds of trying: a server that restarts is waited for, a dead one is told soon.
_RETRY: Any = {"max_retries": 5, "retry_timeout": timedelta(seconds=30)}
_PATIENCE = {"connect_timeout": "5s", "timeout": "60s"}


def named(path: str | os.PathLike[str]) -> str:
    """A path or an address as text, in the one way it is written here.

    Parameters
    ----------
    path : path
        A folder, or an address of one of `SCHEMES`.

    Raises
    ------
    SolspaceError
        For an address of another kind, one with a query, or one that went through `pathlib`.

    Examples
    --------
    >>> named("stores/mine.zarr"), named("s3://bucket/mine.zarr/")
    ('stores/mine.zarr', 's3://bucket/mine.zarr')
    >>> named("ftp://host/mine.zarr")
    Traceback (most recent call last):
        ...
    solspace.errors.SolspaceError: ftp://host/mine.zarr: cannot be opened; ...
    """
    text = os.fspath(path)
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/(/?)", text)
    if not found:
        return text
    scheme, slashes = found[1], found[2]
    if scheme == "file":
        raise SolspaceError(f"{text}: give the path itself, {text[text.find(':') + 1 :]}")
    if not slashes:
        if scheme not in SCHEMES:
            return text  # a folder whose name ends with a colon
        raise SolspaceError(
            f"{text}: looks like an address that pathlib took a slash from; give it as text, "
            f"{scheme}://{text[found.end() :]}"
        )
    if scheme not in SCHEMES:
        raise SolspaceError(
            f"{text}: cannot be opened; give a folder, or an address that begins with "
            f"{', '.join(f'{s}://' for s in SCHEMES)}"
        )
    rest = text[found.end() :].rstrip("/")
    if not rest or re.search(r"[?#\s]|//|/\.\.?(/|$)", rest):
        raise SolspaceError(
            f"{text}: is no address of a store; give {scheme}://"
            f"{'BUCKET' if scheme in BUCKETS else 'HOST'}/FOLDER/STORE.zarr, without ? and #"
        )
    return f"{scheme}://{rest}"


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether this is an address and no path.

    Examples
    --------
    >>> is_remote("mine.zarr"), is_remote("https://host/mine.zarr")
    (False, True)
    """
    return "://" in named(path)


def check_local(path: str | os.PathLike[str], what: str) -> None:
    """Refuse an address where a file or folder of this machine is needed.

    Parameters
    ----------
    path : path
    what : str
        What needs it and what to do instead, a clause each.

    Raises
    ------
    SolspaceError
        Where it is an address.
    """
    if is_remote(path):
        raise SolspaceError(f"{os.fspath(path)}: {what}")


def exists(path: str) -> bool:
    """Whether there is a folder of this name, or a group of Zarr at this address."""
    if not is_remote(path):
        return os.path.exists(path)
    return _look(named(path)) is not None


def opened(path: str | os.PathLike[str], mode: str = "r", *, copy: bool = True) -> Any:
    """What Zarr and xarray open: the path itself, or a store for an address.

    Parameters
    ----------
    path : path
    mode : str
        As of `zarr.open_group`; all but ``"r"`` write.
    copy : bool
        Take metadata from the copy at the root where that is there.

    Raises
    ------
    SolspaceError
        Where nothing can be read or written there.
    """
    text = named(path)
    if not is_remote(text):
        return text
    if mode != "r" and not text.startswith(_BUCKET_URLS):
        raise SolspaceError(
            f"{text}: is read only, as every store on a web server; copy it here to write to it"
        )
    look = copy and mode == "r"
    return Remote(text, read_only=mode == "r", copy=_look(text) if look else None)


def group(store: Any, path: str = "", mode: str = "r") -> zarr.Group:
    """A group as Zarr sees it, by its own metadata.

    Parameters
    ----------
    store : path, or a store of Zarr
    path : str
        In the store; the root by default.
    mode : str
        ``"r"`` or ``"r+"``.

    Raises
    ------
    FileNotFoundError
        Where there is none.
    """
    if isinstance(store, str | os.PathLike):
        store = opened(store, mode)
    # Told which format, Zarr asks for one file where it would for four.
    return zarr.open_group(store, path=path, mode=mode, zarr_format=3, use_consolidated=False)


def beside(path: str) -> tuple[Any, str] | None:
    """obstore's view of where a store lies, and the store's name there.

    None for a store that is a whole bucket or server.
    """
    where, _, name = named(path).rpartition("/")
    return None if where.endswith("/") else (_client(where), name)


def put_new(url: str, key: str, content: bytes) -> None:
    """Put an object into a store where nothing lies yet, unless another process was first.

    Raises
    ------
    SolspaceError
        Where other objects lie there.
    """
    library, client = load_obstore(), _client(url)
    with told(url, but=(library.exceptions.AlreadyExistsError,)):
        listed = library.list_with_delimiter(client, None)
        if [*listed["common_prefixes"], *listed["objects"]] and not exists(url):
            raise SolspaceError(
                f"{url}: holds objects and is no solspace store (no Zarr group there); give "
                "another address"
            )
        with contextlib.suppress(library.exceptions.AlreadyExistsError):
            library.put(client, key, content, mode="create")


# --------------------------------------------------------------------------- the copy at the root


class Copy(NamedTuple):
    """The root's metadata as they are stored, and those of all below it where they are gathered."""

    raw: bytes
    below: Mapping[str, bytes] | None
    names: Mapping[str, list[str]]


_seen: dict[tuple[Any, ...], tuple[dict[str, Any], Copy]] = {}
_MOST_SEEN = 4


def _look(url: str) -> Copy | None:
    """The metadata at the root as they are now; None where there is none. One request."""
    obstore = load_obstore()
    key = (url, _settings())
    moment = _moment.get()
    if moment is not None and key in moment:
        return moment[key]
    known = _seen.get(key)
    with told(url):
        try:
            answer = obstore.get(_client(url), "zarr.json", options=known[0] if known else None)
            raw, tag = bytes(answer.bytes()), answer.meta.get("e_tag")
        except FileNotFoundError as error:
            if "NoSuchBucket" in str(error):
                raise
            return None
        except obstore.exceptions.NotModifiedError:
            assert known is not None
            return _keep(key, *known)
    copy = _read_copy(url, raw)
    return _keep(key, {"if_none_match": tag} if tag else {}, copy)


def _keep(key: tuple[Any, ...], options: dict[str, Any], copy: Copy) -> Copy:
    _seen.pop(key, None)
    while len(_seen) >= _MOST_SEEN:
        del _seen[next(iter(_seen))]
    _seen[key] = options, copy
    if (moment := _moment.get()) is not None and copy.below is not None:
        moment[key] = copy
    return copy


_moment: ContextVar[dict[tuple[Any, ...], Copy] | None] = ContextVar("moment", default=None)


@contextlib.contextmanager
def one_moment() -> Iterator[None]:
    """Read metadata of an address once for all that is read meanwhile; also decorates.

    For what only reads. Metadata that are not gathered are read anew each time, as the store is
    being written then.
    """
    if _moment.get() is not None:
        yield
        return
    before = _moment.set({})
    try:
        yield
    finally:
        _moment.reset(before)


def _read_copy(url: str, raw: bytes) -> Copy:
    try:
        root = json.loads(raw)
        gathered = (root.get("consolidated_metadata") or {}).get("metadata")
    except (ValueError, AttributeError):
        raise SolspaceError(
            f"{url}: exists and is no solspace store (its zarr.json is none); give another address"
        ) from None
    if gathered is None:
        return Copy(raw, None, {})
    names: dict[str, list[str]] = {"": []}
    for path, own in gathered.items():
        own.pop("consolidated_metadata", None)  # of a group: empty, and hides what is below it
        above, _, name = path.rpartition("/")
        names.setdefault(above, []).append(name)
    return Copy(raw, {path: json.dumps(own).encode() for path, own in gathered.items()}, names)


# --------------------------------------------------------------------------- the store

_MOST_WHOLE = 2
# The group of a population that the copy has not (`solspace.store.metadata.WRITING`).
_LEFT_OUT = "writing"


class Remote(ObjectStore):
    """A store behind an address, as Zarr takes it.

    Parameters
    ----------
    url : str
    read_only : bool
    copy : Copy, optional
        What metadata are answered from, while this object lives.
    """

    def __init__(self, url: str, *, read_only: bool = True, copy: Copy | None = None) -> None:
        super().__init__(_client(url), read_only=read_only)
        self.url = url
        self.copy = copy
        self.kept: dict[str, bytes] = {}
        self.whole: dict[str, bytes] = {}

    def with_read_only(self, read_only: bool = False) -> Remote:
        return Remote(self.url, read_only=read_only, copy=self.copy if read_only else None)

    def __reduce__(self) -> Any:
        # Credentials stay: a process elsewhere takes those of its own environment.
        return _anew, (self.url, self.read_only)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and (self.url, self.read_only) == (
            other.url,
            other.read_only,
        )

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        found = self._known(key)
        if found is None:
            return await self._ask(key, prototype, byte_range)
        return prototype.buffer.from_bytes(_part(found, byte_range)) if found else None

    def _known(self, key: str) -> bytes | None:
        """What is known without asking: empty where there is nothing, None where one has to ask."""
        if key in self.kept:
            return self.kept[key]
        if self.copy is None:
            return None
        if key == "zarr.json":
            return self.copy.raw
        folder, _, name = key.rpartition("/")
        if (
            self.copy.below is None
            or folder.split("/")[2:3] == [_LEFT_OUT]
            or name
            not in (
                "zarr.json",
                ".zarray",
                ".zgroup",
                ".zattrs",
                ".zmetadata",
            )
        ):
            return None
        return self.copy.below.get(folder, b"") if name == "zarr.json" else b""

    async def _ask(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None
    ) -> Buffer | None:
        obstore = load_obstore()
        if byte_range is not None and key in self.whole:
            return prototype.buffer.from_bytes(_part(self.whole[key], byte_range))
        with told(self.url):
            try:
                return await super().get(key, prototype, byte_range)
            except obstore.exceptions.BaseError as error:
                if byte_range is None or not _ignores_ranges(error):
                    raise
            # As of a plain web server: the whole object, of which a part is used.
            whole = await super().get(key, prototype, None)
        if whole is None:
            return None
        # Its other parts are asked for next.
        while len(self.whole) >= _MOST_WHOLE:
            self.whole.pop(next(iter(self.whole)), None)
        self.whole[key] = whole.to_bytes()
        return prototype.buffer.from_bytes(_part(self.whole[key], byte_range))

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        import asyncio

        return list(await asyncio.gather(*(self.get(k, prototype, r) for k, r in key_ranges)))

    async def exists(self, key: str) -> bool:
        if (found := self._known(key)) is not None:
            return bool(found)
        with told(self.url):
            return await super().exists(key)

    async def set(self, key: str, value: Buffer) -> None:
        with told(self.url):
            await super().set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        with told(self.url):
            await super().set_if_not_exists(key, value)

    async def delete(self, key: str) -> None:
        with told(self.url):
            await super().delete(key)

    async def delete_dir(self, prefix: str) -> None:
        with told(self.url):
            await super().delete_dir(prefix)

    async def getsize(self, key: str) -> int:
        with told(self.url):
            return await super().getsize(key)

    def list(self) -> AsyncGenerator[str, None]:
        self._check_listing()
        return _told_each(self.url, super().list())

    def _check_listing(self) -> None:
        if not self.url.startswith(_BUCKET_URLS):
            raise SolspaceError(
                f"{self.url}: a web server does not list its files, which is needed here; copy the "
                "store here, or give the bucket that it is in"
            )

    def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:
        self._check_listing()
        return _told_each(self.url, super().list_prefix(prefix))

    def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        if self.copy is not None and self.copy.below is not None:
            return _each(self.copy.names.get(prefix.strip("/"), []))
        if not self.url.startswith(_BUCKET_URLS):
            raise SolspaceError(
                f"{self.url}: its metadata are not gathered at its root, without which nothing is "
                "found on a web server: it is being written, or a run was killed there; what "
                "writes to it next gathers them, such as `solspace label`"
            )
        return _told_each(self.url, super().list_dir(prefix))

    def fetch_coordinates(self, groups: Iterable[str]) -> None:
        """Read coordinates along their own dim of these groups all at once, not one by one."""
        if self.copy is None or self.copy.below is None:
            return
        keys: list[str] = []
        for group in [name.strip("/") for name in groups]:
            for name in self.copy.names.get(group, []):
                keys += _coordinate_keys(self.copy.below, f"{group}/{name}".strip("/"))
        sync(self._fetch(keys))

    async def _fetch(self, keys: Iterable[str]) -> None:
        import asyncio

        import obstore

        at_once = asyncio.Semaphore(64)

        async def one(key: str) -> None:
            async with at_once:
                try:
                    answer = await obstore.get_async(self.store, key)
                    self.kept[key] = bytes(await answer.bytes_async())
                except FileNotFoundError:
                    self.kept[key] = b""

        with told(self.url):
            await asyncio.gather(*map(one, keys))

    def fetched(self, array: str) -> Iterator[bytes]:
        """What was fetched of an array, and its metadata; its name where these are not known."""
        yield ((self.copy and self.copy.below) or {}).get(array, array.encode())
        for key in sorted(key for key in self.kept if key.startswith(f"{array}/")):
            yield key.removeprefix(array).encode()
            yield self.kept[key]


def _ignores_ranges(error: Exception) -> bool:
    kind = load_obstore().exceptions.NotSupportedError
    return isinstance(error, kind) or "non-partial response" in str(error)


def _anew(url: str, read_only: bool) -> Remote:
    return Remote(url, read_only=read_only)


def _coordinate_keys(below: Mapping[str, bytes], array: str) -> Iterator[str]:
    metadata = json.loads(below[array])
    if metadata.get("dimension_names") != [array.rpartition("/")[2]]:
        return
    each = metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
    for i in range(-(-metadata["shape"][0] // each)):
        yield f"{array}/c/{i}"


def _part(whole: bytes, wanted: ByteRequest | None) -> bytes:
    if isinstance(wanted, RangeByteRequest):
        return whole[wanted.start : wanted.end]
    if isinstance(wanted, OffsetByteRequest):
        return whole[wanted.offset :]
    if isinstance(wanted, SuffixByteRequest):
        return whole[-wanted.suffix :]
    return whole


async def _each(names: Iterable[str]) -> AsyncGenerator[str, None]:
    for name in names:
        yield name


async def _told_each(url: str, names: AsyncIterator[str]) -> AsyncGenerator[str, None]:
    with told(url):
        async for name in names:
            yield name


# --------------------------------------------------------------------------- obstore


def load_obstore() -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError:
        raise SolspaceError(
            'opening an address needs obstore; type `pip install "solspace[remote]"`'
        ) from None
    return obstore


def _settings() -> tuple[tuple[str, str], ...]:
    return tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(_SETTINGS)))


_clients: dict[tuple[Any, ...], Any] = {}


def _client(url: str) -> Any:
    """obstore's view of what is at and below an address; the same for the same environment."""
    stores = load_obstore().store
    key = (url, os.getpid(), _settings())
    if key not in _clients:
        scheme = url.partition("://")[0]
        # Options given here hide the one that the environment has.
        plain = scheme == "http" or os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("true", "1")
        options: Any = _PATIENCE | {"allow_http": plain}
        with told(url):
            if scheme in BUCKETS:
                made = stores.from_url(url, client_options=options, retry_config=_RETRY)
            else:
                made = stores.HTTPStore.from_url(url, client_options=options, retry_config=_RETRY)
        while len(_clients) >= 64:
            del _clients[next(iter(_clients))]
        _clients[key] = made
    return _clients[key]


@contextlib.contextmanager
def told(url: str, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """What a server or obstore says against it, in one line that says what to do."""
    obstore = load_obstore()
    try:
        yield
    except but:
        raise
    except (obstore.exceptions.BaseError, FileNotFoundError, PermissionError) as error:
        kind = ClusterError if (reason := _reason(url, error)).startswith(_DOWN) else SolspaceError
        raise kind(f"{url}: {reason}") from error


_DOWN = "no answer from"  # how a reason begins that is none of the user's


def _reason(url: str, error: Exception) -> str:
    obstore = load_obstore()
    text = str(error).partition("Debug source:")[0]
    code = (re.findall(r"<Code>(\w+)</Code>", text) or [""])[0]
    status = (re.findall(r"status code: (\d+[^:<\n]*)", text) or [""])[0].strip()
    said = ", ".join(filter(None, (status, code)))
    if "NoSuchBucket" in text:
        return "there is no such bucket; look at its name, and at AWS_ENDPOINT_URL"
    refused = (obstore.exceptions.PermissionDeniedError, obstore.exceptions.UnauthenticatedError)
    if isinstance(error, refused) or status[:3] in ("401", "403"):
        return (
            f"the server refuses ({said or 'no right to it'}); set credentials in the environment, "
            "such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SKIP_SIGNATURE=true for "
            "what is open to all (docs/remote.md)"
        )
    if isinstance(error, obstore.exceptions.PreconditionError):
        return "another process has written it meanwhile; type the same command again"
    if "169.254.169.254" in text or "credential" in text.lower():
        return (
            "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_SKIP_SIGNATURE=true for what is open to all (docs/remote.md)"
        )
    if "builder error" in text:
        return "its server is reached by http alone; set AWS_ALLOW_HTTP=true to allow that"
    if "error sending request" in text or "HTTP error" in text:
        where = (re.findall(r"https?://[^/\s]+", text) or [url])[0]
        return f"{_DOWN} {where}; see that it runs and can be reached, and try again"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"cannot be reached ({said or (lines[0][:300] if lines else repr(error))})"
