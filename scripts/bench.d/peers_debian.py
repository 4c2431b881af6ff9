"""Peers that Debian packages: skopeo, crane and oras."""

from measure import quoted
from peer import Peer, flat, for_each, four_at_a_time, in_turn

# --- skopeo -----------------------------------------------------------------------------------
# A layout for each image, since two processes would overwrite each other's index.json; the blobs
# of all of them in one folder, so that a shared layer is fetched and kept once.


def skopeo_pull(job, reference):
    name, tag = reference.split(":")
    return (f"mkdir -p {quoted(job.folder)} && "
            + quoted("skopeo", "copy", "-q", "--src-tls-verify=false",
                     "--dest-shared-blob-dir", f"{job.folder}/blobs",
                     f"docker://{job.at_source(reference)}",
                     f"oci:{job.folder}/{flat(name)}:{tag}"))


def skopeo_push(job, reference):
    name, tag = reference.split(":")
    return quoted("skopeo", "copy", "-q", "--dest-tls-verify=false",
                  "--src-shared-blob-dir", f"{job.folder}/blobs",
                  f"oci:{job.folder}/{flat(name)}:{tag}", f"docker://{job.at_target(reference)}")


def skopeo_sync_pull(job):
    # It refuses to write over what is there, so a re-run begins anew.
    images = "".join(f"    {name}: ['{tag}']\n"
                     for name, tag in (reference.split(":") for reference in job.references))
    return (f"rm -rf {quoted(job.folder)} && mkdir -p {quoted(job.folder)} && "
            f"cat >{quoted(job.folder + '.yaml')} <<'YAML'\n"
            f"'{job.source}':\n  tls-verify: false\n  images:\n{images}YAML\n"
            + quoted("skopeo", "sync", "--src", "yaml", "--dest", "dir",
                     job.folder + ".yaml", job.folder))


def skopeo_sync_push(job):
    # All repositories of the corpus are in one namespace, which `dir` leaves out.
    namespace = job.references[0].split("/")[0]
    return quoted("skopeo", "sync", "--src", "dir", "--dest", "docker",
                  "--dest-tls-verify=false", job.folder, f"{job.target}/{namespace}")


# --- crane ------------------------------------------------------------------------------------
# One invocation pulls all images into one layout, which is the fastest; but that can be pushed as
# one index into one repository only. What is to become images again has a layout for each. Into a
# layout that is there crane appends the image a second time, so a re-run begins anew.


def crane_pull_all(job):
    return quoted("crane", "pull", "--insecure", "--format=oci",
                  *map(job.at_source, job.references), job.folder)


def crane_pull(job, reference):
    layout = f"{job.folder}/{flat(reference)}"
    return (f"rm -rf {quoted(layout)} && mkdir -p {quoted(job.folder)} && "
            + quoted("crane", "pull", "--insecure", "--format=oci",
                     job.at_source(reference), layout))


def crane_push(job, reference):
    return quoted("crane", "push", "--insecure", f"{job.folder}/{flat(reference)}",
                  job.at_target(reference))


# --- oras -------------------------------------------------------------------------------------
# One layout with a tag for each image; with four at a time a layout for each, as with skopeo, and
# it has no way to share their blobs.


def oras_pull(job, reference):
    return quoted("oras", "cp", "--no-tty", "--from-plain-http", job.at_source(reference),
                  "--to-oci-layout", f"{job.folder}:{flat(reference)}")


def oras_push(job, reference):
    return quoted("oras", "cp", "--no-tty", "--to-plain-http", "--from-oci-layout",
                  f"{job.folder}:{flat(reference)}", job.at_target(reference))


def oras_pull_apart(job, reference):
    name, tag = reference.split(":")
    return quoted("oras", "cp", "--no-tty", "--from-plain-http", job.at_source(reference),
                  "--to-oci-layout", f"{job.folder}/{flat(name)}:{tag}")


def oras_push_apart(job, reference):
    name, tag = reference.split(":")
    return quoted("oras", "cp", "--no-tty", "--to-plain-http", "--from-oci-layout",
                  f"{job.folder}/{flat(name)}:{tag}", job.at_target(reference))


SKOPEO, CRANE, ORAS = ["skopeo", "--version"], ["crane", "version"], ["oras", "version"]
DEBIAN = [
    Peer("skopeo copy", "skopeo", for_each(in_turn, skopeo_pull),
         for_each(in_turn, skopeo_push), SKOPEO),
    Peer("skopeo copy, xargs -P 4", "skopeo", for_each(four_at_a_time, skopeo_pull),
         for_each(four_at_a_time, skopeo_push), SKOPEO),
    Peer("skopeo sync", "skopeo", skopeo_sync_pull, skopeo_sync_push, SKOPEO),
    Peer("crane pull, one layout", "crane", crane_pull_all, None, CRANE),
    Peer("crane", "crane", for_each(in_turn, crane_pull), for_each(in_turn, crane_push), CRANE),
    Peer("crane, xargs -P 4", "crane", for_each(four_at_a_time, crane_pull),
         for_each(four_at_a_time, crane_push), CRANE),
    Peer("oras cp", "oras", for_each(in_turn, oras_pull), for_each(in_turn, oras_push), ORAS),
    Peer("oras cp, xargs -P 4", "oras", for_each(four_at_a_time, oras_pull_apart),
         for_each(four_at_a_time, oras_push_apart), ORAS),
]

