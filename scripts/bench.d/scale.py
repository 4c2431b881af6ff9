"""How time and memory grow with the number of images, out of and into `airferry serve`.

Each image is tiny (a config, and layers of half a KiB) and has a repository of its own. The last
column is the exponent x with which the wall time grows from one number of images to the next, as
n^x: 1 is linear, 2 would be quadratic.
"""

import math
import pathlib
import shutil
import sys

import measure
import report
from airferry import Airferry
from registry import AirferryServe
from store import Store

STEPS = ["dry run", "export", "export again", "verify", "import", "import again"]


def run_steps(airferry, work, images, layers):
    """Step to result, for one number of images with so many layers."""
    folder, bundle = work / str(images), work / str(images) / "bundle"
    store = Store(airferry.binary, folder / "source")
    references = [store.image(number, layers) for number in range(images)]
    results = {}

    def step(name, command):
        try:
            result = measure.run(command)
            told = f"{result['wall']:.2f} s"
        except measure.Failed as failure:
            result, told = {"failed": str(failure)}, f"failed: {failure}"
        results[name] = result
        print(f"  {images} images: {name}: {told}", file=sys.stderr)

    with AirferryServe(airferry.binary, store.folder) as source:
        named = [f"{source.address}/{reference}" for reference in references]
        step("dry run", airferry.export(named, bundle, "--dry-run"))
        step("export", airferry.export(named, bundle))
        step("export again", airferry.export(named, bundle))
    step("verify", airferry.verify(bundle))
    with AirferryServe(airferry.binary, folder / "target") as target:
        step("import", airferry.import_(bundle, target.address))
        step("import again", airferry.import_(bundle, target.address))
    shutil.rmtree(folder)
    return results


def exponent(small, large):
    """x, where the wall time of (images, result) grows as images^x."""
    (few, before), (many, after) = small, large
    if "wall" not in before or "wall" not in after:
        return ""
    return f"{math.log(after['wall'] / before['wall']) / math.log(many / few):.2f}"


def rows(curve):
    for step in STEPS:
        last = None
        for images, results in curve.items():
            row = results[step]
            if "failed" in row:
                yield [step, str(images), "failed", "", "", "", ""]
            else:
                yield [step, str(images), f"{row['wall']:.2f}", f"{row['cpu']:.2f}",
                       f"{row['memory'] / 2**20:.0f}", f"{1000 * row['wall'] / images:.2f}",
                       exponent(last, (images, row)) if last else ""]
            last = images, row


def main(args):
    work, airferry = pathlib.Path(args.work), Airferry(args.binary, pathlib.Path(args.work))
    curve = {images: run_steps(airferry, work, images, args.layers)
             for images in sorted(int(number) for number in args.images.split(","))}
    about = report.machine([["airferry", args.binary, "--version"]])
    print(report.machine_line(about), end="\n\n")
    print(f"tiny images of {args.layers + 1} blobs each\n")
    print(report.table(["step", "images", "wall s", "CPU s", "peak MiB", "ms an image", "n^x"],
                       list(rows(curve))))
    report.write(args.out, "scale.json", {"machine": about, "layers": args.layers,
                                         "curve": curve})
