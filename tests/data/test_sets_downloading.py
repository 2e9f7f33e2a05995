"""A download is whole or not there, is kept, and comes from where the user says."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.error
from email.message import Message
from http.client import IncompleteRead

import pytest

from diekae_rag.data.sets import DownloadError, downloading, load_set
from diekae_rag.data.sets.downloading import download
from diekae_rag.locations import cache_folder

ROW = {"premises": ["All ada are bob."], "conclusion": "Ada is bob.", "label": "True"}


@pytest.fixture
def site(tmp_path):
    """A folder that stands for a set's home."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "folio-train.jsonl").write_text(json.dumps(ROW))
    return folder


class Response(io.BytesIO):
    """What a server sends: bytes, a length it announces, and maybe an end it did not intend."""

    def __init__(self, content, announced=None, failure=None):
        super().__init__(content)
        self.headers, self.failure = Message(), failure
        if announced is not None:
            self.headers["Content-Length"] = str(announced)

    def read(self, size=-1):
        chunk = super().read(size)
        if not chunk and self.failure is not None:
            raise self.failure
        return chunk


@pytest.fixture
def serve(monkeypatch):
    """Lets every URL answer with one response, or fail."""

    def serve(answer):
        class Opener:
            def open(self, url, timeout):
                if isinstance(answer, BaseException):
                    raise answer
                return answer

        monkeypatch.setattr(downloading, "_opener", Opener)

    return serve


def test_a_file_url_is_downloaded_whole(site, tmp_path):
    content = bytes(range(256)) * 4096
    (site / "big").write_bytes(content)

    path = download((site / "big").as_uri(), tmp_path / "cache" / "big")

    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["big"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Response(b"half", announced=8), r"4 of 8 bytes arrived"),
        (Response(b"more than", announced=8), r"9 of 8 bytes arrived"),
        (Response(b"half", failure=IncompleteRead(b"half", 4)), "IncompleteRead"),
        (Response(b"half", failure=TimeoutError("timed out")), "timed out"),
        (urllib.error.HTTPError("u", 404, "Not Found", Message(), None), "404: Not Found"),
        (urllib.error.URLError("no route"), "no route"),
    ],
)
def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(serve, tmp_path, answer, message):
    serve(answer)
    url = "https://example.org/a.json"

    with pytest.raises(DownloadError, match=message) as caught:
        download(url, tmp_path / "a.json")

    assert list(tmp_path.iterdir()) == []
    assert url in str(caught.value)
    assert "download it by hand and pass source=" in str(caught.value)


def test_an_interrupted_download_leaves_nothing(serve, tmp_path):
    serve(Response(b"half", announced=8, failure=KeyboardInterrupt()))

    with pytest.raises(KeyboardInterrupt):
        download("https://example.org/a.json", tmp_path / "a.json")

    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_leaves_the_file_that_was_there(serve, tmp_path):
    (tmp_path / "a.json").write_text("old")
    serve(Response(b"half", announced=8))

    with pytest.raises(DownloadError):
        download("https://example.org/a.json", tmp_path / "a.json")

    assert (tmp_path / "a.json").read_text() == "old"


def test_a_length_that_is_not_announced_is_no_mistake(serve, tmp_path):
    serve(Response(b"all"))

    assert download("https://example.org/a", tmp_path / "a").read_bytes() == b"all"


def test_a_file_that_is_not_the_publishers_is_refused(serve, tmp_path):
    right = hashlib.sha256(b"all").hexdigest()

    serve(Response(b"all"))
    assert download("http://example.org/a", tmp_path / "a", sha256=right).is_file()
    serve(Response(b"another"))
    with pytest.raises(DownloadError, match=f"not {right}"):
        download("http://example.org/b", tmp_path / "b", sha256=right)

    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("url", ["ftp://example.org/a", "data:,a", "/etc/hosts", "javascript:a"])
def test_only_three_kinds_of_url_are_downloaded(url, tmp_path):
    with pytest.raises(DownloadError, match="no https, http, file URL"):
        download(url, tmp_path / "a")

    assert list(tmp_path.iterdir()) == []


def test_a_redirect_to_another_kind_of_url_is_not_followed(monkeypatch):
    monkeypatch.setenv("ftp_proxy", "http://localhost:1")

    with pytest.raises(urllib.error.URLError, match="unknown url type: ftp"):
        downloading._opener().open("ftp://example.org/a")


def test_the_progress_bar_is_not_on_stdout(site, tmp_path, capfd):
    download((site / "folio-train.jsonl").as_uri(), tmp_path / "a")

    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("form", ["folder", "folder/", "file", "folder url", "file url"])
def test_a_source_may_be_a_folder_or_a_file_here_or_at_a_url(site, tmp_path, form):
    source = {
        "folder": site,
        "folder/": f"{site}/",
        "file": str(site / "folio-train.jsonl"),
        "folder url": site.as_uri(),
        "file url": (site / "folio-train.jsonl").as_uri(),
    }[form]

    (record,) = load_set("folio", "train", source=source, cache=tmp_path / "cache")

    assert record.answer == "True"


def test_a_source_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="https, http, file URL, got ftp"):
        load_set("folio", "train", source="ftp://example.org/", cache=tmp_path)


def test_what_was_downloaded_once_is_used_again(site, tmp_path):
    options = {"source": site.as_uri(), "cache": tmp_path / "cache"}
    first = load_set("folio", "train", **options)

    (site / "folio-train.jsonl").unlink()

    assert load_set("folio", "train", **options) == first


def test_two_urls_do_not_share_what_is_kept(site, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "folio-train.jsonl").write_text(json.dumps({**ROW, "label": "False"}))
    cache = tmp_path / "cache"

    answers = [
        load_set("folio", "train", source=folder.as_uri(), cache=cache)[0].answer
        for folder in (site, other)
    ]

    assert answers == ["True", "False"]


def test_home_is_asked_where_no_source_is_given_and_the_cache_may_be_set(
    serve, tmp_path, monkeypatch
):
    monkeypatch.setenv("DIEKAE_CACHE", str(tmp_path / "kept"))
    serve(Response(json.dumps(ROW).encode()))

    load_set("folio", "train")

    assert (tmp_path / "kept" / "folio" / "folio-train.jsonl").is_file()


def test_the_cache_is_in_the_home_folder_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv("DIEKAE_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    assert cache_folder() == tmp_path / ".cache" / "diekae_rag"


def test_the_publishers_sha256_is_checked_at_home(serve, tmp_path):
    serve(Response(b"no archive of wizards"))

    with pytest.raises(DownloadError, match="is not the file its publishers name"):
        load_set("wizard_of_wikipedia", "train", cache=tmp_path)
