"""Find the packages; everything else stands in setup.cfg."""

from setuptools import find_packages, setup

# conf/ stands at the top of a checkout and inside the package of a wheel, see package_dir.
setup(packages=[*find_packages(include=["net2vec_pl", "net2vec_pl.*"]), "net2vec_pl.conf"])
