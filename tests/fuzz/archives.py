"""The corpora: one zip archive for each target, in which each file is a case."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

CORPUS = Path(__file__).parent / "corpus"

#: The earliest time that a zip archive can hold: the same cases make the same archive.
_MODIFIED = (1980, 1, 1, 0, 0, 0)


def archive_of(target: str) -> Path:
    """Returns the archive of a target's cases."""
    return CORPUS / f"{target}.zip"


def read_cases(archive: Path) -> dict[str, bytes]:
    """Returns the cases of an archive by name; none if there is no archive yet."""
    if not archive.exists():
        return {}
    with ZipFile(archive) as opened:
        return {name: opened.read(name) for name in sorted(opened.namelist())}


def write_cases(archive: Path, cases: dict[str, bytes]) -> None:
    """Replaces an archive."""
    draft = archive.with_suffix(".new")
    with ZipFile(draft, "w") as opened:
        for name, data in sorted(cases.items()):
            opened.writestr(ZipInfo(name, _MODIFIED), data, ZIP_DEFLATED, compresslevel=9)
    draft.replace(archive)


def unpack(archive: Path, folder: Path) -> None:
    """Writes each case of an archive into a folder."""
    for name, data in read_cases(archive).items():
        (folder / name).write_bytes(data)


def add(archive: Path, folder: Path) -> int:
    """Adds the files of a folder that an archive does not have yet; returns how many it added."""
    cases = read_cases(archive)
    new = {file.name: file.read_bytes() for file in folder.iterdir() if file.name not in cases}
    if new:
        write_cases(archive, cases | new)
    return len(new)
