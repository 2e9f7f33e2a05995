"""States of passages that were read before: in memory, and in a file beside the index."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch

from diekae_rag.encoders import Encoders
from diekae_rag.files import STATES_FILE
from diekae_rag.passages import Passage
from diekae_rag.progress import progress_bars
from diekae_rag.states.coding import StateCode, StateDtype
from diekae_rag.states.file import StateFile, StatesError, Stored, dtype_of
from diekae_rag.states.tensors import PassageStates

if TYPE_CHECKING:
    from diekae_rag.index import PassageIndex
    from diekae_rag.reading import PassageReader
    from diekae_rag.requests import Request

__all__ = ["KeptStates", "open_states", "state_code"]

_AT_ONCE = 1 << 26  # bytes of states that are written together: each writing waits for the disk


class KeptStates:
    """What encoders have read, so that they need not read it again.

    A text is known by the tokens that are read of it: what is given out is what reading them would
    give, whatever the passage is called and wherever it was deleted. Threads may share it.

    Args:
        reader: Who reads what is not here.
        file: Where passages are kept for good; only ``add`` writes there.
        max_bytes: Most bytes to hold in memory beside it; what was used longest ago goes first.
    """

    def __init__(
        self, reader: PassageReader, file: StateFile | None = None, max_bytes: int = 1 << 28
    ) -> None:
        self._reader, self._file, self._max_bytes = reader, file, max_bytes
        self._memory: OrderedDict[tuple[int, ...], PassageStates] = OrderedDict()
        self._num_bytes = 0
        self._lock = Lock()
        self._fingerprint = reader.fingerprint

    @property
    def file(self) -> StateFile | None:
        """Where passages are kept for good."""
        return self._file

    @property
    def num_bytes(self) -> int:
        """Memory that is held; what a file has is not."""
        return self._num_bytes

    @torch.no_grad()
    def read(
        self, ids: Sequence[tuple[int, ...]], texts: Sequence[str | None]
    ) -> tuple[list[PassageStates], list[int]]:
        """The states of some texts, each by itself and unpadded.

        Args:
            ids: What encoders read of each; each once.
            texts: The passage of which it is read, where it is one passage's.

        Returns:
            The states, and how many tokens of each were not read again.
        """
        self._check_encoders()
        found = {own: self._find(own, text) for own, text in zip(ids, texts, strict=True)}
        missing = [own for own, states in found.items() if states is None]
        reused = {own: len(own) for own in ids}
        if self._reads_on:
            for own in missing:
                found[own], reused[own] = self._read_on(own)
        elif missing:
            fresh = self._reader.encode_apart(missing)
            for own, states in zip(missing, fresh, strict=True):
                found[own], reused[own] = states, 0
                self._remember(own, states)
        return [states for states in found.values() if states is not None], list(reused.values())

    def tokens_of(self, text: str) -> list[int] | None:
        """What encoders read of a passage that is kept in the file, which need not be tokenized."""
        return None if self._file is None else self._file.ids(text)

    def knows(self, request: Request) -> bool:
        """Whether none of a request's knowledge would have to be read."""
        is_joint = self._reader.encoders.config.passage_attention == "joint"
        return all(
            self._find(tuple(ids), None if is_joint else request.passages[number].text) is not None
            for number, ids in enumerate(request.knowledge)
        )

    @torch.no_grad()
    def add(self, passages: Iterable[Passage], *, show_progress: bool = False) -> int:
        """Reads passages whose states are not in the file, and keeps them there.

        Stopped in the middle, it goes on where it was when it is called again.

        Returns:
            How many passages were read or renamed.

        Raises:
            StatesError: There is no file, or it cannot be written.
        """
        self._check_encoders()
        file = self._of_file()
        file.refresh()
        every = {passage.id: passage for passage in passages if not passage.is_blank}
        new = [p for p in every.values() if not file.has(p.id, p.text)]
        rows = self._reader.tokenize([passage.text for passage in new])
        with progress_bars(show_progress) as progress:
            bar = progress.add_task("passages read", total=len(new))
            unwritten: list[Stored] = []
            try:
                for some in self._reader.batches(rows):
                    states = self._reader.encode([rows[n] for n in some]).apart()
                    unwritten += [
                        Stored(new[n].id, new[n].text, rows[n], own.stacked())
                        for n, own in zip(some, states, strict=True)
                    ]
                    if sum(item.states.nbytes for item in unwritten) >= _AT_ONCE:
                        written, unwritten = unwritten, []
                        file.append(written)
                    progress.advance(bar, len(some))
            finally:
                file.append(unwritten)  # also when stopped: what was read need not be read again
        return len(new)

    def remove(self, ids: Iterable[str]) -> None:
        """Forgets passages in the file, by id.

        Raises:
            StatesError: There is no file, or it cannot be written.
        """
        file = self._of_file()
        file.remove(ids)
        if file.num_bytes > 2 * file.live_bytes + (1 << 20):
            file.compact()

    def follow(self, index: PassageIndex, *, show_progress: bool = False) -> int:
        """Brings the file in step with an index, and keeps it so from now on.

        Returns:
            How many passages were read or renamed.

        Raises:
            StatesError: There is no file, or it cannot be written.
        """
        file, passages = self._of_file(), list(index)
        file.keep_only({passage.id for passage in passages})
        num_new = self.add(passages, show_progress=show_progress)
        index.add_follower(self)
        return num_new

    def _find(self, ids: tuple[int, ...], text: str | None) -> PassageStates | None:
        with self._lock:
            if ids in self._memory:
                self._memory.move_to_end(ids)
                return self._memory[ids]
        if self._file is None or text is None:
            return None
        stored = self._file.find(text, ids)
        if stored is None:
            self._file.refresh()
            stored = self._file.find(text, ids)
        if stored is None:
            return None
        encoders = self._reader.encoders
        moved = stored.to(encoders.device, encoders.dtype)
        mask = torch.ones(1, len(ids), dtype=torch.bool, device=moved.device)
        states = PassageStates(moved[0][:, None], moved[1][:, None], mask)
        if moved is not stored:  # a view of the file takes no memory of ours
            self._remember(ids, states)
        return states

    def _read_on(self, ids: tuple[int, ...]) -> tuple[PassageStates, int]:
        """The states of one text of several passages, from what it shares with one read before."""
        before, shared = None, 0
        with self._lock:
            for known, states in self._memory.items():
                pairs = zip(known, ids[:-1], strict=False)
                length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                if length > shared:
                    before, shared = states, length
        if before is None:
            states = self._reader.encode([ids])
        else:
            states = self._reader.encode([ids[shared:]], after=before.first(shared))
        self._remember(ids, states)
        return states, shared

    def _remember(self, ids: tuple[int, ...], states: PassageStates) -> None:
        if (size := states.num_bytes) > self._max_bytes:
            return
        with self._lock:
            if ids in self._memory:
                return
            self._memory[ids] = states.detached()
            self._num_bytes += size
            while self._num_bytes > self._max_bytes:
                _, gone = self._memory.popitem(last=False)
                self._num_bytes -= gone.num_bytes

    @property
    def _reads_on(self) -> bool:
        """Whether what two texts begin with alike has the same states in both."""
        config = self._reader.encoders.config
        return config.passage_attention == "joint" and config.passage_direction == "causal"

    def _of_file(self) -> StateFile:
        if self._file is None:
            raise StatesError(
                "these states are kept in memory only; open a file for them: "
                "model.keep_states(path)."
            )
        return self._file

    def _check_encoders(self) -> None:
        if self._reader.fingerprint != self._fingerprint:
            raise StatesError(
                "the encoders' weights have changed since their states were kept; call "
                "model.keep_states again."
            )


def open_states(
    reader: PassageReader, path: Path | None, dtype: StateDtype | None, max_bytes: int
) -> KeptStates:
    """States kept in memory, or beside it in a file; see ``DiekaeModel.keep_states``."""
    if path is None:
        if dtype is not None:
            raise ValueError("dtype says how a file is written; give a path, or leave it out.")
        return KeptStates(reader, None, max_bytes)
    if reader.encoders.config.passage_attention == "joint":
        raise StatesError(
            "these encoders read passages jointly, so that a passage's states depend on those "
            "before it and cannot be kept one by one; keep them in memory: keep_states()."
        )
    path = path / STATES_FILE if path.is_dir() else path
    code = state_code(reader.encoders, dtype or dtype_of(path))
    return KeptStates(reader, StateFile(path, reader.fingerprint, code), max_bytes)


def state_code(encoders: Encoders, dtype: StateDtype | None = None) -> StateCode:
    """How states of these encoders are written; without ``dtype`` in their own precision."""
    config = encoders.config
    own: Any = str(encoders.dtype).removeprefix("torch.")
    return StateCode(
        config.num_hidden_layers,
        config.num_bodies * config.num_attention_heads,
        config.hidden_size // config.num_attention_heads,
        dtype or own,
    )
