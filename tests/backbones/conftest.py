"""What the tests of several families of networks share."""

import pytest

from backbones.without_values import without_values


@pytest.fixture
def no_values():
    """Drawing the numbers of all networks would take minutes; only their places are looked at."""
    with without_values():
        yield
