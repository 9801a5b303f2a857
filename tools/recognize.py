"""Find known people in pictures: `index` makes a gallery of them, `search` finds and names the faces of pictures.

    python tools/recognize.py index PEOPLE --model r50.onnx --out work_dirs/gallery.npz
    python tools/recognize.py search party.jpg --gallery work_dirs/gallery.npz --model r50.onnx --out work_dirs/found

PEOPLE is a folder that holds a folder of pictures for each person, or a list of lines `path<TAB>name`. For each picture
`search` writes NAME.found.jpg, with its faces marked, and NAME.json. A face is somebody's from the cosine on that
verification (val.py) has found best for these weights and stored beside them.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from utils.environment import enter_environment

enter_environment()
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # what it says of a bad detector is in our sentence

import cv2
import numpy as np

from deploy.onnx_options import add_onnx_options, given_options
from deploy.thresholds import measured_threshold
from evaluation.sources import read_image
from recognition.detectors.choose import DEFAULT, HELP, Detector, load_detector
from recognition.draw import Font, Label, annotate
from recognition.gallery import Gallery
from recognition.people import labeled_pictures
from recognition.recognizer import Found, crop_size, index, recognize
from utils.cli import add_model, run_cli
from utils.errors import UserError
from utils.files import write_whole

# What OpenCV's model zoo states for SFace, another model of 112x112 faces, as the best on LFW.
UNMEASURED = 0.363
CANDIDATES = 2  # people listed for each face
_QUALITY = 92  # of the pictures' JPEG


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="index | search")
    making = commands.add_parser("index", help="make a gallery", allow_abbrev=False)
    making.set_defaults(run=_index)
    making.add_argument("source", type=Path, metavar="PEOPLE", help="folder of people, or a list of `path<TAB>name`")
    making.add_argument("--out", type=Path, required=True, metavar="FILE.npz", help="the gallery")
    making.add_argument("--aligned", action="store_true", help="the pictures are faces, cut to 112x112 already")
    finding = commands.add_parser("search", help="find the people of a gallery in pictures", allow_abbrev=False)
    finding.set_defaults(run=_search)
    finding.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE")
    finding.add_argument("--gallery", type=Path, required=True, metavar="FILE.npz")
    finding.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for what is found")
    finding.add_argument(
        "--threshold",
        type=float,
        help="cosine from which on a face is somebody; default: what val.py measured for these weights, or if it never "
        f"verified them {UNMEASURED}, which OpenCV states for its model SFace",
    )
    finding.add_argument(
        "--candidates",
        type=int,
        metavar="N",
        help=f"list so many people for each face, with their scores (in NAME.json without this: {CANDIDATES})",
    )
    finding.add_argument("--font", type=Path, help="font of the names; default DejaVu Sans, which has no CJK")
    for command in (making, finding):
        add_model(command, "model of a run, or .onnx", required=True)
        add_onnx_options(command)
        command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"), help="default %(default)s")
        command.add_argument("--detector", default=None, metavar="DETECTOR", help=HELP.replace("%(default)s", DEFAULT))
        command.add_argument(
            "--detector_threshold", type=float, metavar="S", help="score from which on it is a face; default its own"
        )
    args = parser.parse_args(arguments)
    args.run(args)


def _load_model(args: argparse.Namespace):
    """The model, and its digest."""
    os.environ.setdefault("GLOG_minloglevel", "3")
    from deploy.embedder import load_embedder, model_digest
    from utils.runtime import start_runtime

    options = given_options(args)
    embedder = load_embedder(args.model_path, start_runtime(args.device).device, options=options)
    return embedder, model_digest(args.model_path, options)


def _index(args: argparse.Namespace) -> None:
    if args.aligned and (args.detector or args.detector_threshold is not None):
        raise UserError("--aligned looks for no faces; leave out --detector and its threshold")
    if args.out.suffix != ".npz" or not args.out.absolute().parent.is_dir():
        raise UserError(f"the gallery cannot be written to {args.out}: give a .npz in a folder that exists")
    pictures = labeled_pictures(args.source)
    detect = None if args.aligned else _load_detector(args)
    embed, digest = _load_model(args)
    about = {"model": str(args.model_path), "digest": digest, "detector": detect.name if detect else "none (aligned)"}
    made = index(embed, detect, pictures, about, crop_size(embed.input.size))
    made.gallery.save(args.out)
    gallery = made.gallery
    print(f"{args.out}: {len(gallery.names)} people, {len(gallery.embeddings)} faces")
    for pictures, what in (
        (made.several_faces, "several faces; the largest was taken"),
        (made.without_face, "no face"),
    ):
        for picture in pictures:
            print(f"{picture.path}: {what}")


def _search(args: argparse.Namespace) -> None:
    if args.threshold is not None and not -1 <= args.threshold <= 1:
        raise UserError(f"--threshold {args.threshold} is not possible: a cosine is between -1 and 1")
    if args.candidates is not None and args.candidates < 1:
        raise UserError(f"--candidates {args.candidates} is not possible: list at least 1")
    outputs = _outputs(args.pictures, args.out)
    gallery, font, detect = Gallery.load(args.gallery), Font(args.font), _load_detector(args)
    embed, digest = _load_model(args)
    if gallery.about.get("digest") != digest:
        raise UserError(
            f"{args.gallery} was made with another model, {gallery.about.get('model')}, than {args.model_path}; "
            "embeddings of two models cannot be compared, so make a gallery with this one"
        )
    size = crop_size(embed.input.size)
    threshold, threshold_from = _threshold(args, digest)
    settings = {
        "gallery": str(args.gallery),
        "model": str(args.model_path),
        "detector": detect.name,
        "threshold": threshold,
        "threshold_from": threshold_from,
    }
    undrawable = ""
    for path, output in zip(args.pictures, outputs, strict=True):
        picture = read_image(path)
        recognized = recognize(embed, detect, gallery, picture, args.candidates or CANDIDATES, size)
        labels = [
            Label(one.face, number, one.name(threshold), one.matches[0].score)
            for number, one in enumerate(recognized, 1)
        ]
        undrawable += font.lacks("".join(label.name or "" for label in labels))
        height, width = picture.shape[:2]
        faces = [_face(one, label) for one, label in zip(recognized, labels, strict=True)]
        report = {"picture": str(path), "width": width, "height": height, **settings, "faces": faces}
        drawn = cv2.cvtColor(annotate(picture, labels, font), cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
        write_whole(output.with_name(f"{output.name}.found.jpg"), jpeg)
        write_whole(output.with_name(f"{output.name}.json"), json.dumps(report, ensure_ascii=False, indent=2).encode())
        who = ", ".join(f"{label.name or 'unknown'} ({label.score:.3f})" for label in labels)
        print(f"{path}: {who or 'no face found'}")
        if args.candidates:
            for number, one in enumerate(recognized, 1):
                print(f"  face {number}: " + ", ".join(f"{match.name} {match.score:.3f}" for match in one.matches))
    if undrawable:
        some = "".join(dict.fromkeys(undrawable))[:20]
        print(f"Names with {some} are drawn as the face's number: {font.path.name} lacks these; give another --font")


def _load_detector(args: argparse.Namespace) -> Detector:
    detect = load_detector(args.detector or DEFAULT, args.detector_threshold)
    if detect.warning:
        print(f"warning: {detect.warning}", file=sys.stderr)
    return detect


def _threshold(args: argparse.Namespace, digest: str) -> tuple[float, str]:
    """The cosine from which on a face is somebody, and where it is from. Says so where nobody chose it."""
    if args.threshold is not None:
        return args.threshold, "--threshold"
    measured = measured_threshold(args.model_path, digest)
    if measured is None:
        print(
            f"warning: {args.model_path} was never verified, so {UNMEASURED} of another model is the threshold; "
            f"`val.py CONFIG --model_path {args.model_path}` measures its own",
            file=sys.stderr,
        )
        return UNMEASURED, "SFace"
    print(f"threshold {measured.cosine:.3f}, best for these weights on {measured.name} ({measured.accuracy:.2%} right)")
    return measured.cosine, measured.name


def _outputs(pictures: list[Path], folder: Path) -> list[Path]:
    """What each picture's results are called, without suffix. Raises UserError where two would be called alike."""
    seen = {}
    for picture in pictures:
        if seen.setdefault(picture.stem, picture) is not picture:
            raise UserError(f"{seen[picture.stem]} and {picture} have one name for their results; search them apart")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made: {error.strerror}") from None
    return [folder / picture.stem for picture in pictures]


def _face(one: Found, label: Label) -> dict:
    face = one.face
    return {
        "number": label.number,
        "name": label.name,
        "score": round(label.score, 6),
        "box": _rounded(face.box),
        "landmarks": _rounded(face.landmarks),
        "landmarks_from": face.landmarks_from,
        "detector_score": face.score,
        "nearest": [
            {"name": match.name, "score": round(match.score, 6), "source": match.source} for match in one.matches
        ],
    }


def _rounded(array: np.ndarray) -> list:
    return array.astype(np.float64).round(2).tolist()


if __name__ == "__main__":
    run_cli(main)
