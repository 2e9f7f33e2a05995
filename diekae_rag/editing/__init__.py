"""Facts that are edited: added and taken back while a model answers, never in the base's weights.

``Edits`` keeps them, ``Edit`` is one, ``Match`` one that a prompt means; ``WrittenEdits`` are those
that encoders of their own hold in their weights.
"""

from diekae_rag.editing.edit import Edit, as_edit
from diekae_rag.editing.edits import Edits
from diekae_rag.editing.errors import EditsError
from diekae_rag.editing.fitting import EditCalibration
from diekae_rag.editing.matching import Match
from diekae_rag.editing.store import Change
from diekae_rag.editing.written import WrittenEdits

__all__ = [
    "Change",
    "Edit",
    "EditCalibration",
    "Edits",
    "EditsError",
    "Match",
    "WrittenEdits",
    "as_edit",
]
