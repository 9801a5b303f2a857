"""The workshop where data sets are made and edited; nothing that trains imports it.

`sources` reads what people have, `convert` makes OFRecord sets of that (and the ways back), `align` makes aligned faces
of photographs, `edit` makes new sets of finished ones, `inspect` looks one over, and `drawn` makes demo sets of drawn
faces.
"""
