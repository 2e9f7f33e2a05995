"""Where the files of a set are: in the cache, in a folder you name, or at another URL."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from diekae_rag.data.sets.description import PublicSet
from diekae_rag.data.sets.downloading import SCHEMES, download
from diekae_rag.locations import cache_folder

__all__ = ["locate"]


def locate(
    name: str, about: PublicSet, split: str, cache: Path | None, source: str | Path | None
) -> tuple[Path, ...]:
    """Finds the files of a split, and downloads those that are not there yet.

    A file that was downloaded once is used again; delete it to have it downloaded again.

    Args:
        name: What the set is called in the cache.
        about: The set.
        split: Which split.
        cache: Where downloads are kept; ``cache_folder()`` if it is ``None``.
        source: ``None`` for the set's own home. A path: the folder that holds the files, or the
            file, if the split needs only one. A URL: likewise; a folder's has the files under the
            names they have at home.

    Raises:
        FileNotFoundError: A file that ``source`` should hold is not there.
        ValueError: ``source`` is one file and the split needs more, or a URL of another kind.
        DownloadError: A download failed.
    """
    files = about.files[split]
    folder = (cache or cache_folder()) / name
    if source is None:
        return tuple(
            _kept(about.url + file, folder / _last(file), about.sha256.get(file)) for file in files
        )
    if not _is_url(source):
        return _local(Path(source), about, files)
    url = str(source)
    if _last(urlsplit(url).path) == _last(files[0]):
        urls = [url]
        _refuse_one_of_many(url, about, files)
    else:
        urls = [f"{url.rstrip('/')}/{file}" for file in files]
    folder /= hashlib.sha256(url.encode()).hexdigest()[:12]
    return tuple(_kept(u, folder / _last(f), None) for u, f in zip(urls, files, strict=True))


def _local(source: Path, about: PublicSet, files: tuple[str, ...]) -> tuple[Path, ...]:
    if source.is_file():
        _refuse_one_of_many(source, about, files)
        return (source,)
    found = []
    for file in files:
        places = (source / file, source / _last(file))
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"there is no {places[-1]}; source= must hold {' and '.join(map(_last, files))}, "
                f"from {about.url}."
            )
        found.append(path)
    return tuple(found)


def _refuse_one_of_many(source: str | Path, about: PublicSet, files: tuple[str, ...]) -> None:
    if len(files) > 1:
        raise ValueError(
            f"{about.title} needs {' and '.join(map(_last, files))}; source= must be the folder "
            f"that holds them, got the file {source}."
        )


def _kept(url: str, path: Path, sha256: str | None) -> Path:
    return path if path.is_file() else download(url, path, sha256=sha256)


def _is_url(source: str | Path) -> bool:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/", str(source))
    if isinstance(source, Path) or scheme is None:
        return False
    if scheme[1].lower() not in SCHEMES:
        raise ValueError(f"source= must be a path or a {', '.join(SCHEMES)} URL, got {source}.")
    return True


def _last(name: str) -> str:
    return PurePosixPath(name).name
