"""net2vec_pl: how does a frozen vision network encode a concept?

Each concept becomes a vector over the filters of one layer, learned so that a linear combination of
thresholded filter responses segments the concept (Fong & Vedaldi, *Net2Vec*, CVPR 2018,
https://arxiv.org/abs/1801.03454). ``docs/architecture.md`` shows the way of the data through the
rooms.
"""

__version__ = "0.1.0"
