"""How pytest-xdist spreads the tests."""

from xdist.scheduler import LoadScopeScheduling


class OneCluster(LoadScopeScheduling):
    """Tests go to whoever is idle, but those of Dask's cluster to one, which starts it once."""

    def _split_scope(self, nodeid: str) -> str:
        return "cluster" if "/dask/test_cluster" in nodeid else nodeid
