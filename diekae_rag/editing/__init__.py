"""Facts that are edited: added and taken back while a model answers, and never in its weights.

``Edits`` keeps them, ``Edit`` is one, ``Match`` one that a prompt means.
"""

from diekae_rag.editing.edit import Edit, as_edit
from diekae_rag.editing.edits import Edits
from diekae_rag.editing.errors import EditsError
from diekae_rag.editing.fitting import EditCalibration
from diekae_rag.editing.matching import Match
from diekae_rag.editing.store import Change

__all__ = ["Change", "Edit", "EditCalibration", "Edits", "EditsError", "Match", "as_edit"]
