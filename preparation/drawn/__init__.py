"""Data sets of drawn faces (`data.drawn`), written as InsightFace would, thousands of pictures at a time."""

from preparation.drawn.dataset import WRONG_LABELS, DemoParameters, contact_sheet, make_demo_dataset

__all__ = ["WRONG_LABELS", "DemoParameters", "contact_sheet", "make_demo_dataset"]
