"""The explorer on a page of its own, from a server on this machine."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from typing import TYPE_CHECKING, Any

from solspace.errors import SolspaceError
from solspace.explorer.app import STYLE, Explorer, panel
from solspace.explorer.together import open_explored

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["PORT", "serve"]

PORT = 5006

# The page is dark where its reader's system is, unless the address says. Before anything is loaded.
_THEME = """
<script>
(function () {
  var at = new URL(window.location.href), drawn = "{{ theme }}";
  if (!at.searchParams.get("theme") && window.matchMedia) {
    var wanted = window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
    // Kept, so that the next page is at once as the system is.
    var kept = "solspace_theme=" + wanted;
    document.cookie = kept + "; SameSite=Strict; Max-Age=31536000";
    if (wanted !== drawn) {
      if (document.cookie.includes(kept)) window.location.reload();
      else { at.searchParams.set("theme", wanted); window.location.replace(at); }
      return;
    }
  }
  document.documentElement.dataset.theme = drawn;
  document.documentElement.lang = "en";
  document.title = "solspace";
  // The same view on other paper.
  document.addEventListener("click", function (event) {
    var link = event.composedPath().find((e) => e.classList && e.classList.contains("theme"));
    if (!link) return;
    event.preventDefault();
    var now = new URL(window.location.href);
    now.searchParams.set("theme", link.dataset.theme);
    window.location.assign(now);
  });
  // Handles of sliders, fields of several values and figures have no name of their own. Before Tab
  // leads to one they get that which stands above them; focus itself is not told across the
  // shadow roots that all of it lies in.
  function named(root) {
    root.querySelectorAll("*").forEach(function (at) {
      if (at.shadowRoot) named(at.shadowRoot);
      var above = null;
      if (at.classList.contains("noUi-handle")) above = root.querySelector(".bk-slider-title");
      else if (at.classList.contains("choices__input")) above = root.querySelector("label");
      else if (at.classList.contains("bk-events")) at.setAttribute("aria-label", "figure");
      if (above) at.setAttribute("aria-label", above.textContent);
    });
  }
  document.addEventListener("keydown", function (event) {
    if (event.key === "Tab") named(document);
  }, true);
})();
</script>
"""
_PAGE = (
    "{% extends base %}{% block preamble %}"
    + _THEME
    + '<meta name="viewport" content="width=device-width, initial-scale=1"><style>'
    + STYLE
    + "</style>{% endblock %}{% block contents %}"
    + "<main>{{ embed(roots.explorer) }}</main>{% endblock %}"
)


def serve(
    source: Any,
    *,
    port: int = PORT,
    address: str = "127.0.0.1",
    save_labels: bool = False,
    distances: xr.DataArray | None = None,
    design: xr.Dataset | None = None,
    recordings: Any = None,
    start: bool = True,
) -> Any:
    """Show a store, or a population in memory, in a browser.

    Everything that the page loads comes from this server. The address of the page holds the view;
    of it names are looked up in the store, and no path is opened.

    Parameters
    ----------
    source : str, Dataset, DataTree or mapping
        See `solspace.explore`.
    port : int
        0 for any that is free.
    address : str
        By default this machine alone; another address opens the store, and where asked for its
        labels, to whoever reaches it.
    save_labels : bool
        Whether selections may be saved in the store, which is otherwise only read.
    distances : DataArray, optional
    design : Dataset, optional
    recordings : str, Dataset or mapping, optional
        See `solspace.explore`.
    start : bool
        Serve until interrupted; otherwise return the server, which is to be started.

    Returns
    -------
    bokeh.server.server.Server

    Raises
    ------
    SolspaceError
        Where the port is in use or the address is none of this machine, there is no store, or
        labels are to be saved in what is no store on this machine.
    """
    pn = panel()
    if not 0 <= port <= 65535:
        raise SolspaceError(f"--port {port}; give 1 to 65535, or 0 for any that is free")
    populations = open_explored(source, recordings=recordings)
    if save_labels:
        from solspace.store import place

        path = next(iter(populations.values())).path
        if not path or place.is_remote(path):
            raise SolspaceError(
                "labels are saved in stores on this machine; explore a folder, or leave out "
                "--save-labels"
            )
        if not os.access(path, os.W_OK):
            raise SolspaceError(f"{path}: cannot be written to, so no label can be saved there")
    if design is not None:
        of = "/".join(str(design.coords[name].values) for name in ("task", "architecture"))
        if of not in populations:
            raise SolspaceError(
                f"the design is of {of}; give one of {', '.join(populations)}, made with "
                "`solspace design STORE -o FILE.nc`"
            )
    made: dict[Any, Any] = {}
    jobs: dict[Any, Any] = {}

    def page() -> Any:
        arguments = pn.state.session_args
        state = {k: v[0].decode("utf-8", "replace") for k, v in arguments.items() if v}
        kept = (pn.state.cookies or {}).get("solspace_theme")
        view = Explorer(
            populations, distances=distances, design=design, state=state,
            save_labels=save_labels, addressed=True, maps_made=made, dark=kept == "dark", jobs=jobs,
        )  # fmt: skip
        template = pn.Template(_PAGE)
        template.add_variable("theme", "dark" if view.theme.dark else "light")
        template.add_panel("explorer", view.layout())
        return template

    port = _free_port(address, port)
    _warm(populations, made)
    try:
        server = pn.serve(
            {"/": page}, port=port, address=address, show=False, start=False,
            title="solspace", websocket_origin=_origins(address, port), autoreload=False,
            use_index=False,
        )  # fmt: skip
    except OSError as error:
        raise _refused(error, address, port) from None
    if start:
        where = f"http://{_host(address)}:{server.port}/"
        print(f"exploring {', '.join(populations)} at {where} (Ctrl-C ends it)", flush=True)
        server.run_until_shutdown()
        for job in [*jobs.values()]:
            job.stop()
    return server


def _free_port(address: str, port: int) -> int:
    """The port, or any that is free for 0; an error where it cannot be listened to."""
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((address, port))
            return int(tried.getsockname()[1])
    except OSError as error:
        raise _refused(error, address, port) from None


def _refused(error: OSError, address: str, port: int) -> SolspaceError:
    if error.errno == errno.EADDRINUSE:
        return SolspaceError(
            f"port {port} of {address} is in use; give another with --port, or --port 0 for any "
            "that is free"
        )
    return SolspaceError(
        f"cannot serve at {address}:{port} ({error.strerror}); give an address of this machine "
        "with --address, and a port that you may use"
    )


def _warm(populations: Any, made: dict[Any, Any]) -> None:
    """The first view, which compiles and reads, before anybody asks for it."""
    view = Explorer(populations, maps_made=made)
    view.layout().get_root()


def _host(address: str) -> str:
    try:
        return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    except ValueError:
        return address


def _origins(address: str, port: int) -> list[str]:
    """Pages of which names may talk to the server: its own only, against rebinding of names."""
    if address in ("0.0.0.0", "::"):
        return ["*"]
    names = {_host(address)} | ({"localhost"} if address in ("127.0.0.1", "::1") else set())
    return [f"{name}:{port}" for name in sorted(names)]
