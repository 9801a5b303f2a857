"""The recordio set that the tests of conversion begin with."""

from tests.data.mxnet_sets import jpegs

IMAGES = jpegs(23)
LABELS = [float(i % 10) for i in range(23)]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}
