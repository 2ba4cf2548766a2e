"""mpi4py on MPICH, as its launcher starts it."""

from .mpi_launched import Library, launched

CONTESTANTS = launched(Library("MPICH", "mpich", "libmpi.so.12", ("mpiexec.hydra",)))
