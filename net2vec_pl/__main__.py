"""``python -m net2vec_pl``: the same entry as ``train.py``, for jobs that sweeps start."""

from net2vec_pl.cli import main

if __name__ == "__main__":
    main()
