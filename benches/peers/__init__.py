"""pinwire beside the other ways to send an object from Python, in one run."""
