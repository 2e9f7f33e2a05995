"""One file, from a URL to a path: all of it or nothing."""

from __future__ import annotations

import hashlib
import urllib.request
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from diekae_rag.files import new_files

__all__ = ["SCHEMES", "DownloadError", "download"]

SCHEMES = ("https", "http", "file")
_TIMEOUT = 60.0  # seconds without a byte
_CHUNK = 1 << 18  # bytes


class DownloadError(OSError):
    """A file could not be downloaded; the message names the URL and says what to do."""


def download(url: str, path: Path, *, sha256: str | None = None) -> Path:
    """Downloads a file, with a progress bar on stderr.

    ``path`` exists afterwards only if everything arrived: the bytes go into a temporary folder
    beside it, which goes away however the download ends.

    Args:
        url: An ``https``, ``http`` or ``file`` URL.
        path: Where the file goes; its folder is made.
        sha256: What the file must have, if that is known.

    Raises:
        DownloadError: It cannot be reached, fewer bytes came than were announced, or they are not
            those that ``sha256`` names.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "there.json").write_text("[]")
        >>> download((folder / "there.json").as_uri(), folder / "here.json").read_text()
        '[]'
    """
    if urlsplit(url).scheme not in SCHEMES:
        raise DownloadError(f"{url} is no {', '.join(SCHEMES)} URL; only those are downloaded.")
    with new_files(path.parent) as temporary:
        try:
            found = _stream(url, temporary / path.name)
        except (OSError, HTTPException, ValueError) as error:
            raise DownloadError(
                f"{url} could not be downloaded ({str(error) or type(error).__name__}). Try again "
                f"later, or download it by hand and pass source= the file or its folder."
            ) from error
        if sha256 is not None and found != sha256:
            raise DownloadError(
                f"{url} is not the file its publishers name: its SHA-256 is {found}, not {sha256}. "
                f"If you trust it, download it by hand and pass source= the file or its folder."
            )
    return path


def _stream(url: str, path: Path) -> str:
    """Writes what is at ``url`` to ``path`` and gives its SHA-256."""
    digest, received = hashlib.sha256(), 0
    with _opener().open(url, timeout=_TIMEOUT) as response, path.open("wb") as file, _bar() as bar:
        announced = _length(response.headers)
        task = bar.add_task(path.name, total=announced)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            bar.advance(task, len(chunk))
    if announced is not None and received != announced:
        raise OSError(f"{received:,} of {announced:,} bytes arrived")
    return digest.hexdigest()


def _opener() -> urllib.request.OpenerDirector:
    """Opens ``SCHEMES`` and nothing else, also where a server redirects to."""
    opener = urllib.request.OpenerDirector()
    proxies = urllib.request.getproxies()
    for handler in (
        urllib.request.ProxyHandler({kind: proxies[kind] for kind in SCHEMES if kind in proxies}),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.FileHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    opener.addheaders = [("User-Agent", "diekae-rag")]
    return opener


def _length(headers: HTTPMessage) -> int | None:
    value: Any = headers.get("Content-Length")
    return int(value) if value is not None else None


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
