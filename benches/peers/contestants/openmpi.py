"""mpi4py on Open MPI, as its launcher starts it."""

import sys

from .mpi_launched import Library, launched

CONTESTANTS = launched(
    Library(
        "Open MPI",
        "openmpi",
        "libmpi.so.40",
        # `mpiexec` is a program of this name and MPICH's alike; this is the one it would run.
        ("ompirun_wrapper", "--allow-run-as-root", "--map-by", ":OVERSUBSCRIBE"),
        {"OPAL_PREFIX": sys.prefix},
    )
)
