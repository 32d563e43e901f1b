"""``python -m net2vec_pl``: the same entry as ``train.py``, for jobs that sweeps start."""

import os
import sys

if __name__ == "__main__":
    # Python searches the working folder first; main() has it searched last.
    sys.path[:] = [place for place in sys.path if os.path.abspath(place) != os.getcwd()]
    from net2vec_pl.cli import main

    main()
