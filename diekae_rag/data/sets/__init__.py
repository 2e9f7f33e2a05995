"""The public data sets of the paper, loaded from their homes.

From the caller to the file: ``catalog`` names the sets and loads one, ``description`` says what a
set is, ``locating`` finds its files, ``downloading`` fetches what is missing, ``reading`` and
``fields`` open them, and one file per set turns its rows into records.
"""

from diekae_rag.data.sets.catalog import SETS, load_counterfact, load_set
from diekae_rag.data.sets.counterfact import Edit
from diekae_rag.data.sets.description import PublicSet
from diekae_rag.data.sets.downloading import DownloadError

__all__ = ["SETS", "DownloadError", "Edit", "PublicSet", "load_counterfact", "load_set"]
