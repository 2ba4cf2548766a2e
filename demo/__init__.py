"""The main job on real input: `python -m demo`, from the root of the repository.

Two processes over TCP, with a small send buffer so that partial writes happen. Real objects
travel through pinwire as one stream and land in preallocated memory; then the same objects are
given to asyncio, uvloop and trio. Everything printed is measured in the run.
"""
