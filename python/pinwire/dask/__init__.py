"""Dask over pinwire: `LocalCluster(protocol="pinwire://")`, `dask worker pinwire://host:port`.

A communication backend for `distributed`, which finds it by itself once `pinwire[dask]` is
installed (the entry point group `distributed.comm.backends`). Its settings are Dask's
configuration, under `distributed.comm.pinwire`:

- `same-host`: "auto", the default, lets a peer on the same host copy large frames straight from
  the memory they lie in; "off" sends everything over the socket. See `same_host` of
  `pinwire.Channel`.
- `high-water`: bytes of written messages that may wait for the kernel before `write` waits, too.
  Default "512 MiB".
- `max-message`: the largest message that is received, in bytes. Default: the memory that
  `distributed` believes it may use.

The usual ones hold, too: `distributed.comm.timeouts`, `distributed.comm.socket-backlog`,
`distributed.comm.shard`. There is no TLS: with `require-encryption` it refuses to connect and to
listen.
"""

try:
    from ._backend import Backend, Connector, Listener
    from ._comm import Comm
except ModuleNotFoundError as error:
    if error.name not in ("dask", "distributed"):
        raise
    raise ModuleNotFoundError(
        "pinwire.dask needs Dask's distributed: pip install 'pinwire[dask]'", name=error.name
    ) from error

__all__ = ["Backend", "Comm", "Connector", "Listener"]
