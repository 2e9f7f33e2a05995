"""The public data sets of the paper, loaded from their homes.

From the caller to the file: ``catalog`` names the sets and loads one, ``description`` says what a
set is, ``locating`` finds its files, ``downloading`` fetches what is missing, ``reading`` and
``fields`` open them, and one file per set turns its rows into records.
"""

from diekae_rag.data.sets.catalog import EDIT_SETS, SETS, load_edits, load_set
from diekae_rag.data.sets.description import PublicSet
from diekae_rag.data.sets.downloading import DownloadError
from diekae_rag.data.sets.edits import EditRecord

__all__ = [
    "EDIT_SETS",
    "SETS",
    "DownloadError",
    "EditRecord",
    "PublicSet",
    "load_edits",
    "load_set",
]
