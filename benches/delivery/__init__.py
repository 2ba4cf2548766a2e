"""What becomes of an object that is sent from Python, library by library."""
