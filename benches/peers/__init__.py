"""The speed of pinwire beside other ways to move bytes between two processes, in one run."""
