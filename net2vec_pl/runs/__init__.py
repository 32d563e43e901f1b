"""Run folders: what their files say, how a run takes one, and what it has finished there.

Starting a sweep imports this package, so nothing heavy is imported here.
"""

from net2vec_pl.runs.contract import BANK, CLASSIFIERS, COUNTS, REPORT, finished, headline, score

__all__ = ["BANK", "CLASSIFIERS", "COUNTS", "REPORT", "finished", "headline", "score"]
