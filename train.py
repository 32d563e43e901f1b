"""Every task from the command line: ``python train.py [group=choice] [key=value]``."""

from net2vec_pl.cli import main

if __name__ == "__main__":
    main()
