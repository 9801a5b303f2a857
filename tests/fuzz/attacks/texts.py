"""JSON, lists and names."""

import json

from tests.fuzz.attacks.attack import attack, folder_attack

_DEEP = b"[" * 200_000 + b"]" * 200_000
_CHECKPOINT = "step-00000003/checkpoint.json"


@attack("ofrecord", "set/dataset.json")
def manifest_that_is_deep(content):
    return _DEEP


@attack("ofrecord", "set/dataset.json")
def manifest_with_one_part_four_times(content):
    about = json.loads(content)
    about["parts"] = about["parts"][:1] * 4
    about["num_records"] = 4 * about["parts"][0]["records"]
    return json.dumps(about).encode()


@attack("ofrecord", "set/dataset.json")
def manifest_with_a_trillion_classes(content):
    return json.dumps(json.loads(content) | {"num_classes": 10**12}).encode()


@attack("ofrecord", "set/dataset.json")
def manifest_with_a_billion_classes(content):
    return json.dumps(json.loads(content) | {"num_classes": 10**9}).encode()


@attack("ofrecord", "set/dataset.json")
def manifest_with_a_number_of_5000_digits(content):
    return content.replace(b'"num_classes": 3', b'"num_classes": ' + b"9" * 5000)


@attack("checkpoint", _CHECKPOINT)
def checkpoint_that_is_deep(content):
    return _DEEP


@attack("checkpoint", _CHECKPOINT)
def checkpoint_that_verifies_nothing(content):
    return json.dumps(json.loads(content) | {"files": {}}).encode()


@attack("checkpoint_unsealed", _CHECKPOINT)
def old_checkpoint_that_verifies_nothing(content):
    about = json.loads(content) | {"files": {}}
    about.pop("sha256", None)
    return json.dumps(about).encode()


@attack("checkpoint_unsealed", _CHECKPOINT)
def old_checkpoint_of_other_types(content):
    about = json.loads(content) | {"step": "3", "ranks": [1], "best_of": 5}
    about.pop("sha256", None)
    return json.dumps(about).encode()


@attack("checkpoint", _CHECKPOINT)
def checkpoint_of_another_step(content):
    return content.replace(b'"step": 3', b'"step": 4')


@folder_attack("notes", harmless=True)
def checkpoint_called_final(folder):
    for name in ("step-final", "step-", "step-1e9"):
        (folder / name).mkdir(exist_ok=True)
    return "history.jsonl"


@attack("embeddings_about", "x.json")
def embeddings_with_a_deep_description(content):
    return _DEEP


@attack("embeddings", "x.npy")
def embeddings_that_are_not_finite(content):
    return content[:-4] + b"\0\0\xc0\x7f"


@attack("gallery", "g.npz")
def gallery_that_is_not_finite(content):
    import io

    import numpy as np

    arrays = dict(np.load(io.BytesIO(content)))
    arrays["embeddings"][0, 0] = np.nan
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


@attack("model", "backbone.safetensors")
def model_with_a_bit_flipped(content):
    return content[:-3] + bytes((content[-3] ^ 1,)) + content[-2:]


@attack("result", "set.json")
def result_that_is_deep(content):
    return _DEEP


@attack("result", "set.json")
def result_with_a_number_of_300_digits(content):
    return json.dumps(json.loads(content) | {"auc": 10**300}).encode()


@attack("thresholds", "thresholds.json")
def thresholds_that_are_deep(content):
    return _DEEP


@attack("lists", "images.txt")
def list_with_a_zero_byte(content):
    return b"a.jpg\0b\n"


@attack("lists", "people.txt")
def people_with_a_zero_byte(content):
    return b"a\0.jpg\tAnna\n"


@attack("lists", "magface.list")
def list_with_an_identity_of_5000_digits(content):
    return b"a.jpg 0 " + b"7" * 5000 + b" 0\n"


@attack("lists", "records.csv")
def table_with_a_quote_that_does_not_end(content):
    return b'part,record\n"' + b"x\n" * 100_000


@attack("lists", "records.csv")
def table_with_a_zero_byte(content):
    return b"part,record\n0,\0\n"


@attack("ijb", "IJBC/meta/ijbc_1N_gallery_G1.csv")
def roster_with_a_quote_that_does_not_end(content):
    return content + b'"' + b"1,2\n" * 100_000


@attack("ijb", "IJBC/meta/ijbc_face_tid_mid.txt")
def template_of_5000_digits(content):
    return content.replace(b" 3 ", b" " + b"3" * 5000 + b" ")


@attack("recordio", "set/property")
def property_of_5000_digits(content):
    return b"9" * 5000 + b",112,112"


@attack("ofrecord", "set/part-00000.index.npy")
def index_whose_header_is_damaged(content):
    return content.replace(b"'shape': (", b"'shape': '''")
