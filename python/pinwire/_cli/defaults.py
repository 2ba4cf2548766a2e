"""What options of the commands are when they are not given."""

TIMEOUT = 60.0
"""Seconds of silence after which an end gives the other up: a network that is mended within a
minute is worth the wait."""

MAX_FILES = 1 << 16
"""Files that a receiver makes at most: an inode each, also of empty ones."""
