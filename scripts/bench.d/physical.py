"""The floors of a transfer: what any tool has to do, done by curl, openssl, b3sum, tee and cat."""

import shutil

import measure
from measure import quoted

REQUESTS_AT_ONCE = "6"


def fetch(work, source, blobs):
    """Rows (name, result): curl of every blob, to nowhere and into files."""
    files = work / "fetched"

    def curl(output_of):
        listing = work / "curl.txt"
        listing.write_text("".join(
            f'url = "http://{source.address}/v2/{repository}/blobs/{name}"\n'
            f'output = "{output_of(name)}"\n'
            for name, (repository, _) in blobs.items()))
        return ["curl", "-s", "-f", "--parallel", "--parallel-max", REQUESTS_AT_ONCE,
                "-K", listing]

    yield "curl of all blobs", measure.run(curl(lambda name: "/dev/null"), registries=[source])
    files.mkdir()
    yield "curl into files, sync", measure.run(curl(lambda name: files / name[7:]), sync=work,
                                               registries=[source])
    shutil.rmtree(files)


def hashing(chunks):
    """What an export has to hash, on one core: SHA-256 of chunks and of blobs, BLAKE3."""
    names = quoted(*(path for path, _ in measure.files_of(chunks)))
    return measure.run_script(f"openssl dgst -sha256 {names}\nopenssl dgst -sha256 {names}\n"
                              f"b3sum --num-threads 1 {names}")


def copying(work, chunks):
    """Reading, hashing and writing the bytes of a bundle."""
    copy = work / "copy"
    names = quoted(*(path for path, _ in measure.files_of(chunks)))
    result = measure.run_script(f"cat {names} | tee {quoted(copy)} | sha256sum", sync=work)
    copy.unlink()
    return result
