"""All formats by name. A module here has a tuple FORMATS."""

from tests.fuzz.formats import archives, images, lists, models, onnx_models, results, runs, sets

FORMATS = {
    form.name: form
    for module in (sets, archives, images, lists, results, models, onnx_models, runs)
    for form in module.FORMATS
}
