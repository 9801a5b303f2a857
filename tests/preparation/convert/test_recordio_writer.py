import pytest

from preparation.convert.recordio_writer import RecordWriter
from tests.data.mxnet_sets import MAGIC_BYTES

PAYLOADS = {
    "plain": b"an image" * 9,
    "empty": b"",
    "odd lengths": b"12345",
    "magic at 4": b"1234" + MAGIC_BYTES + b"5678",
    "magic at 3": b"123" + MAGIC_BYTES + b"5678",
    "magic first": MAGIC_BYTES + b"1234",
    "magic last": b"1234" + MAGIC_BYTES,
    "magic alone": MAGIC_BYTES,
    "magic after magic": MAGIC_BYTES * 3 + b"1",
    "magic at 4, 9 and 16": b"1234" + MAGIC_BYTES + b"5" + MAGIC_BYTES + b"678" + MAGIC_BYTES + b"9",
    "magic cut short": b"1234" + MAGIC_BYTES[:3],
    "overlapping": MAGIC_BYTES[:2] + MAGIC_BYTES + MAGIC_BYTES + b"12",
}


@pytest.mark.parametrize("labels", [7.0, [1.0, 2.0], [3.0]])
def test_writes_what_mxnet_writes(tmp_path, labels):
    import mxnet as mx

    theirs = mx.recordio.MXIndexedRecordIO(str(tmp_path / "their.idx"), str(tmp_path / "their.rec"), "w")
    with RecordWriter(tmp_path / "our.rec", tmp_path / "our.idx") as ours:
        for key, payload in enumerate(PAYLOADS.values()):
            ours.add(3 * key, labels, payload)
            theirs.write_idx(3 * key, mx.recordio.pack(mx.recordio.IRHeader(0, labels, 3 * key, 0), payload))
    theirs.close()
    for kind in ("rec", "idx"):
        assert (tmp_path / f"our.{kind}").read_bytes() == (tmp_path / f"their.{kind}").read_bytes()
