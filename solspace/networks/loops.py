"""What the compiled loops of one network share.

The recurrent matrix comes transposed, (presynaptic unit, gate * unit), so that the inner loop
runs over contiguous memory and vectorises. Work arrays are made once per call.
"""

from __future__ import annotations

from numba import njit

from solspace.networks.fused import fma

__all__ = ["add_product", "to_drive"]


@njit(cache=True, nogil=True)
def to_drive(x, w_in, bias, out):  # type: ignore[no-untyped-def]
    """``out = bias + w_in x``; inputs are mostly zero."""
    for u in range(out.size):
        out[u] = bias[u]
    for i in range(x.size):
        if x[i] != 0:
            for u in range(out.size):
                out[u] = fma(w_in[i, u], x[i], out[u])


@njit(cache=True, nogil=True)
def add_product(h, w, out):  # type: ignore[no-untyped-def]
    """``out += w h``."""
    for k in range(h.size):
        hk = h[k]
        for u in range(out.size):
            out[u] = fma(w[k, u], hk, out[u])
