"""Measurements. `python -m benches.peers.elsewhere` runs from the root of the repository."""
