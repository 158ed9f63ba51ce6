"""Brings files of a repository into a folder of their own: no links, no cache, each one compared with the Hub's hash.

What arrived of a file stays in `parts`, named by its hash, and is continued by the next call, in this process or in
another. A file is in `files` only when it is whole and has the hash that the Hub's listing gives.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from onnxpress.errors import HubError
from onnxpress.hub.client import AGENT, check_stop, interruptibly, patiently, worth_another_try
from onnxpress.hub.failures import explained
from onnxpress.hub.quiet import library, progress_bar
from onnxpress.hub.repository import not_cached
from onnxpress.hub.tree import RemoteFile, Tree

_CHUNK_BYTES = 1 << 20
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Download:
    """Files of one commit on their way to a folder."""

    tree: Tree
    folder: Path
    _whole: set[str] = field(default_factory=set, compare=False, repr=False)
    _failed: threading.Event = field(default_factory=threading.Event, compare=False, repr=False)

    @property
    def files(self) -> Path:
        """Where whole files are, under their names."""
        return self.folder / "files"

    def missing(self, names: Collection[str]) -> list[RemoteFile]:
        """Those of these files that are not here yet, whole and right."""
        wanted = [self.tree.files[name] for name in sorted(names) if name in self.tree.files]
        return [file for file in wanted if not self._is_here(file)]

    def bring(self, names: Collection[str]) -> None:
        """Fetch those of these files that are not here yet. Names that the repository does not have are left out.

        Raises:
            HubError: the Hub refused or cannot be reached, or a file is not what the Hub's listing says.
            OSError: it cannot be written here.
        """
        files = self.missing(names)
        if not files:
            return
        repo_id, revision = self.tree.repo_id, self.tree.revision
        with library(), explained(repo_id, revision, cached=False), progress_bar(repo_id) as bar_class:
            bar = bar_class(total=sum(file.bytes for file in files), unit="B")

            interruptibly(lambda: self._bring_all(files, bar))

    def _bring_all(self, files: list[RemoteFile], bar: Any) -> None:
        """Fetch files side by side; the first failure ends all."""
        self._failed.clear()
        with ThreadPoolExecutor(_AT_ONCE) as workers:
            started = [workers.submit(self._bring, file, bar) for file in files]
            try:
                for ended in as_completed(started):
                    ended.result()
            except BaseException:
                self._failed.set()
                workers.shutdown(wait=False, cancel_futures=True)
                raise

    def _is_here(self, file: RemoteFile) -> bool:
        path = self.files / file.name
        if file.name not in self._whole and path.is_file() and path.stat().st_size == file.bytes:
            if file.digest.fits(path):
                self._whole.add(file.name)
            else:
                path.unlink()
        return file.name in self._whole

    def _bring(self, file: RemoteFile, bar: Any) -> None:
        part = self.folder / "parts" / f"{sha256(file.name.encode()).hexdigest()[:16]}-{file.digest.value}"
        part.parent.mkdir(parents=True, exist_ok=True)
        if not self._copy_from_cache(file, part, bar):
            if self.tree.access.local_only:
                raise HubError(not_cached(self.tree.repo_id, self.tree.revision, self.tree.access))
            continued = part.is_file() and part.stat().st_size > 0
            self._continue(file, part, bar)
            if not file.digest.fits(part) and continued:  # what was there was not its beginning
                part.unlink()
                self._continue(file, part, bar)
            if not file.digest.fits(part):
                part.unlink()
                raise HubError(
                    f"{self.tree.repo_id} at {self.tree.revision!r}: {file.name} arrived with another hash than the "
                    f"Hub lists ({file.digest.value}). Try again; if that does not help, check HF_ENDPOINT and the "
                    "proxy settings."
                )
        target = self.files / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
        self._whole.add(file.name)

    def _copy_from_cache(self, file: RemoteFile, part: Path, bar: Any) -> bool:
        """Whether the Hub's cache on this disk had it."""
        from huggingface_hub import try_to_load_from_cache

        tree = self.tree
        cached = try_to_load_from_cache(tree.repo_id, file.name, cache_dir=tree.access.cache_dir, revision=tree.commit)
        if (
            not isinstance(cached, str)
            or Path(cached).stat().st_size != file.bytes
            or not file.digest.fits(Path(cached))
        ):
            return False
        shutil.copyfile(cached, part)
        bar.update(file.bytes)
        return True

    def _continue(self, file: RemoteFile, part: Path, bar: Any) -> None:
        """Fetch what a part lacks. A connection that breaks is taken up again as long as something arrives."""
        bar.update(_size(part))
        while True:
            before = _size(part)
            try:
                patiently(lambda: self._stream(file, part, bar))
                return
            except Exception as error:
                if _size(part) <= before or not worth_another_try(error):
                    raise

    def _stream(self, file: RemoteFile, part: Path, bar: Any) -> None:
        import httpx2
        from huggingface_hub import get_hf_file_metadata, get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        if (offset := _size(part)) > file.bytes:
            part.unlink()
            offset = 0
        if offset == file.bytes and part.is_file():
            return
        tree = self.tree
        url = hf_hub_url(tree.repo_id, file.name, revision=tree.commit)
        headers = build_hf_headers(token=tree.access.token, library_name=AGENT)
        place = urljoin(url, get_hf_file_metadata(url, token=tree.access.token, library_name=AGENT).location)
        if not _same_host(place, url):
            headers.pop("authorization", None)
        headers |= {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        with get_session().stream("GET", place, headers=headers) as answer:
            if answer.status_code == 416:  # what is here is longer than what is there
                part.unlink(missing_ok=True)
                raise httpx2.RemoteProtocolError("the server has no such range")
            hf_raise_for_status(answer)
            continues = answer.status_code == 206 and _first_byte(answer.headers) == offset
            if not continues and offset:
                bar.update(-offset)
            with part.open("ab" if continues else "wb") as sink:
                for piece in answer.iter_bytes(_CHUNK_BYTES):
                    check_stop()
                    if self._failed.is_set():
                        raise HubError("Another file of this download failed.")
                    if sink.tell() + len(piece) > file.bytes:
                        raise HubError(
                            f"{tree.repo_id} at {tree.revision!r}: {file.name} is longer than the {file.bytes} bytes "
                            "that the Hub lists. Check HF_ENDPOINT and the proxy settings."
                        )
                    sink.write(piece)
                    bar.update(len(piece))
        if _size(part) < file.bytes:
            raise httpx2.RemoteProtocolError("the answer ended early")


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _same_host(place: str, url: str) -> bool:
    import httpx2

    there, here = httpx2.URL(place), httpx2.URL(url)
    return (there.scheme, there.host, there.port) == (here.scheme, here.host, here.port)


def _first_byte(headers: Any) -> int | None:
    """Where a part of a file begins, as its Content-Range says."""
    unit, _, rest = headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None
