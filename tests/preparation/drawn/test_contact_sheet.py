import cv2
import numpy as np

from data.drawn import USUAL, draw_face
from preparation.drawn import contact_sheet


def test_contact_sheet_has_a_row_for_each_person():
    sheet = contact_sheet(seed=1, identities=2, images=3, first=5)
    assert sheet.shape == (224, 336, 3)
    jpeg = np.frombuffer(draw_face(1, 6, 2, USUAL), np.uint8)
    assert np.array_equal(sheet[112:, 224:], cv2.imdecode(jpeg, cv2.IMREAD_UNCHANGED))
