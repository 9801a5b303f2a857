"""Data sets of drawn faces (`data.drawn`), written as InsightFace would, thousands of pictures at a time."""

from preparation.drawn.dataset import DemoParameters, contact_sheet, make_demo_dataset

__all__ = ["DemoParameters", "contact_sheet", "make_demo_dataset"]
