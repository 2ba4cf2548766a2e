"""Install the wheel where nothing else is, on each Python, and use it; and build the sdist.

python tests/wheel/installs.py FOLDER 3.11 /path/to/python3.11 3.12 ...
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).parent.resolve()
ROOT = HERE.parent.parent / "target" / "installs"

# The first that have wheels for it.
OLDEST_NUMPY = {"3.11": "1.23.2", "3.12": "1.26.0", "3.13": "2.1.0", "3.14": "2.3.2"}

STRICT = ["-I", "-W", "error", "-X", "dev"]


def run(*command: object) -> str:
    """Run a program away from the sources; what it prints."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    result = subprocess.run(
        [*map(str, command)],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=900,
        check=False,
    )
    if result.returncode:
        raise SystemExit(f"{result.stdout}\n{' '.join(map(str, command))}: {result.returncode}")
    return result.stdout


def clean(name: str, python: str) -> Path:
    """A new environment with nothing in it. Its bin."""
    shutil.rmtree(ROOT / name, ignore_errors=True)
    run(python, "-m", "venv", ROOT / name)
    return ROOT / name / "bin"


def install(bin_: Path, *what: object) -> None:
    run(bin_ / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def use(bin_: Path) -> None:
    """What needs nothing but pinwire."""
    assert run(bin_ / "python", *STRICT, "-c", "import pinwire") == ""
    for command in ([bin_ / "pinwire"], [bin_ / "python", *STRICT, "-m", "pinwire"]):
        assert "usage: pinwire" in run(*command, "--help")
    print(run(bin_ / "python", *STRICT, HERE / "bare.py"), end="", flush=True)


def try_wheel(wheel: Path, version: str, python: str) -> None:
    print(f"CPython {version}, with the wheel alone")
    bin_ = clean(version, python)
    install(bin_, "--no-index", wheel)
    use(bin_)
    oldest = OLDEST_NUMPY.get(version)
    if oldest is None:
        print(f"  SKIPPED: which NumPy is the oldest for {version} is not known here")
    for numpy in ["numpy"] + [f"numpy=={oldest}"] * (oldest is not None):
        install(bin_, "--only-binary", ":all:", numpy)
        print(run(bin_ / "python", *STRICT, HERE / "arrays.py"), end="", flush=True)


def try_sdist(sdist: Path, version: str, python: str) -> None:
    print(f"CPython {version}, built from the sdist")
    bin_ = clean("sdist", python)
    # Always into the same folder, or cargo would keep what it has built for every one of them.
    shutil.rmtree(ROOT / "source", ignore_errors=True)
    with tarfile.open(sdist) as archive:
        archive.extractall(ROOT / "source", filter="data")
    install(bin_, *(ROOT / "source").iterdir())
    use(bin_)


def main() -> None:
    folder, *pythons = sys.argv[1:]
    (wheel,) = Path(folder).resolve().glob("*.whl")
    (sdist,) = Path(folder).resolve().glob("*.tar.gz")
    ROOT.mkdir(parents=True, exist_ok=True)
    installed = list(zip(pythons[::2], pythons[1::2], strict=True))
    for version, python in installed:
        try_wheel(wheel, version, python)
    try_sdist(sdist, *installed[-1])


if __name__ == "__main__":
    main()
