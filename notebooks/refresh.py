"""Runs notebooks and keeps what they print: ``python notebooks/refresh.py [NOTEBOOK ...]``.

A cell tagged ``varies`` prints times or draws pictures, which no two runs have in common; from the
first cell tagged ``needs-weights`` on, a notebook is not run. What goes to stderr is not kept.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

__all__ = ["NOTEBOOKS", "differences", "run"]

NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))
_SILENT = {"HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore", "TQDM_DISABLE": "1"}


def run(path: Path) -> NotebookNode:
    """The notebook as it is now printed; the file stays as it is.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    cells = notebook.cells
    tagged = (n for n, cell in enumerate(cells) if "needs-weights" in tags(cell))
    notebook.cells = cells[: next(tagged, len(cells))]
    with TemporaryDirectory() as folder:
        place = {"transport": "ipc", "connection_file": f"{folder}/kernel.json"}  # no network
        client = NotebookClient(
            notebook, kernel_name="python3", timeout=300, config=Config(KernelManager=place)
        )
        client.execute(env={**os.environ, **_SILENT})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)
    notebook.cells += cells[len(notebook.cells) :]
    return notebook


def differences(kept: NotebookNode, now: NotebookNode) -> list[str]:
    """What a run prints that is not what was kept; empty where a notebook is not stale."""
    return [
        f"cell {number} printed {_text(was)!r} and now prints {_text(new)!r}"
        for number, (was, new) in enumerate(zip(kept.cells, now.cells, strict=True))
        if was.cell_type == "code" and "varies" not in tags(was) and _text(was) != _text(new)
    ]


def tags(cell: NotebookNode) -> list[str]:
    """A cell's tags."""
    found: list[str] = cell.metadata.get("tags", [])
    return found


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Without stderr, and with what was printed in pieces as one."""
    joined: list[NotebookNode] = []
    for output in outputs:
        is_stream = output.output_type == "stream"
        if is_stream and output.name == "stderr":
            continue
        if is_stream and joined and joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _text(cell: NotebookNode) -> str:
    """All that a cell printed or showed, as text."""
    texts = [output.get("text") or output.get("data", {}) for output in cell.outputs]
    return "".join(t if isinstance(t, str) else t.get("text/plain", "") for t in texts)


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or NOTEBOOKS:
        nbformat.write(run(path), path)
