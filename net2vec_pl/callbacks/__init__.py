"""Lightning callbacks: what is logged and kept while a bank trains."""

from net2vec_pl.callbacks.scores import LogEmbeddingNorms, LogScores, means_by_category

__all__ = ["LogEmbeddingNorms", "LogScores", "means_by_category"]
