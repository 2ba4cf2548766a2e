"""What the wheel and the sdist are made of: `python tests/wheel/contents.py FOLDER`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent.resolve()

TAG = re.compile(r"pinwire-[\d.]+-cp311-abi3-(many|musl)linux_\d+_\d+_\w+\.whl")

IN_WHEEL = {"pinwire/_core.abi3.so", "pinwire/_core.pyi", "pinwire/py.typed"}
LICENCES = {"LICENSE-MIT", "LICENSE-APACHE"}
IN_SDIST = LICENCES | {"Cargo.toml", "Cargo.lock", "README.md", "CHANGELOG.md", "pyproject.toml"}
IN_SDIST |= {
    "src/lib.rs",
    "python/pinwire/_core.pyi",
    "tests/python/conftest.py",
    "tests/layers.rs",
}


def own_paths() -> list[bytes]:
    """Folders of this machine that have no business in what others get."""
    folders = {ROOT, Path.home(), Path(os.environ.get("CARGO_HOME", "/"))} - {Path("/")}
    return [str(folder).encode() for folder in folders]


def check_wheel(path: Path) -> None:
    assert TAG.fullmatch(path.name), f"{path.name} is not of the stable ABI of CPython 3.11"
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
        contents = {name: wheel.read(name) for name in names}
    assert names >= IN_WHEEL, f"{path.name} lacks {IN_WHEEL - names}"
    sources = {file.relative_to(ROOT / "python").as_posix() for file in modules()}
    assert {name for name in names if name.startswith("pinwire/")} == sources | IN_WHEEL
    (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
    told = Parser().parsestr(contents[metadata].decode())
    assert told["License-Expression"] == "MIT OR Apache-2.0"
    assert told["Requires-Python"] == ">=3.11"
    assert set(told.get_all("License-File", [])) == LICENCES
    assert names >= {metadata.replace("METADATA", f"licenses/{it}") for it in LICENCES}
    needed = [it for it in told.get_all("Requires-Dist", []) if "extra ==" not in it]
    assert not needed, f"it needs {needed}"
    for name, content in contents.items():
        for folder in own_paths():
            assert folder not in content, f"{name} tells where it was built: {folder.decode()}"
    print(f"{path.name}: {path.stat().st_size:,} bytes", end=", ")
    print(f"{len(contents['pinwire/_core.abi3.so']):,} of them unpacked are the core")


def modules() -> list[Path]:
    found = (ROOT / "python" / "pinwire").rglob("*.py")
    return [file for file in found if "__pycache__" not in file.parts]


def check_sdist(path: Path) -> None:
    with tarfile.open(path) as sdist:
        members = {member.name.partition("/")[2]: member for member in sdist.getmembers()}
    assert members.keys() >= IN_SDIST, f"{path.name} lacks {IN_SDIST - members.keys()}"
    strangers = [name for name in members if name.endswith((".so", ".pyc")) or "/target/" in name]
    assert not strangers, f"{path.name} holds {strangers}"
    print(f"{path.name}: {path.stat().st_size:,} bytes, {len(members)} files")


def ask(*tool: object) -> None:
    """Have a tool look; it says what is wrong."""
    command = [sys.executable, "-m", *map(str, tool)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if result.returncode:
        raise SystemExit(f"{' '.join(command)}\n{result.stdout}{result.stderr}")


def main() -> None:
    folder = Path(sys.argv[1])
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    check_wheel(wheel)
    check_sdist(sdist)
    ask("abi3audit", "--strict", wheel)
    ask("twine", "check", "--strict", wheel, sdist)
    print("abi3audit and twine have nothing to say against them")


if __name__ == "__main__":
    main()
