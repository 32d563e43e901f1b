"""Every task from the command line: ``python train.py [group=choice] [key=value]``."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

if __name__ == "__main__":
    # Only the package comes from this folder: a file calendar.py in it is not Python's.
    sys.path[:] = others = [place for place in sys.path if os.path.abspath(place) != HERE]
    import typing  # noqa: F401  # all that the package's own __init__ needs

    sys.path[:] = [HERE, *others]
    import net2vec_pl  # noqa: F401

    sys.path[:] = [*others, HERE]
    from net2vec_pl.cli import main

    main()
