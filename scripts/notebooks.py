"""Run the notebooks of ``examples/`` and store what they show: ``make notebooks``.

What a machine adds (times, versions, paths) is not stored, so a diff shows what has changed.
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"
_TIMEOUT = 600  # seconds a cell
_QUIET = {"PYTHONWARNINGS": "ignore:IProgress not found"}  # tqdm asks for ipywidgets


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """Run a notebook from its beginning.

    Args:
        path: Path of the notebook, which stays as it is.
        folder: Where it runs.

    Returns:
        The notebook with its new outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=_TIMEOUT, record_timing=False, resources={"metadata": {"path": folder}}
    )
    client.execute(env=os.environ | _QUIET)
    notebook.metadata["language_info"] = {"name": "python"}  # without the version
    return notebook


def main() -> None:
    """Run every notebook anew."""
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        with TemporaryDirectory() as folder:
            notebook = run(path, Path(folder))
        nbformat.write(notebook, path)
        sys.stdout.write(f"{path.name}: {path.stat().st_size // 1024} KiB\n")


if __name__ == "__main__":
    main()
