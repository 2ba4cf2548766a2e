"""Transfers between processes while everything goes wrong that can: see `python -m soak --help`.

The driver starts parties, which are processes that use pinwire, gives them flows to play with one
another, spoils the way between them, and judges what both say became of it.
"""
