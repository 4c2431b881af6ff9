"""Peers that Debian does not package: oc, oc-mirror, hauler, imgpkg and regctl.

Their command lines were run with oc 4.22, oc-mirror 4.23 and hauler 2.0.3.
"""

from measure import quoted
from peer import Peer, flat, for_each, four_at_a_time, in_turn
from registry import free_port

# --- oc image mirror --------------------------------------------------------------------------
# A mapping file, one invocation for all images, the same folder for both halves.


def oc_mapping(job, pairs):
    mapping = job.folder + ".mapping"
    lines = "".join(f"{source}={target}\n" for source, target in pairs)
    return mapping, (f"mkdir -p {quoted(job.folder)} && cat >{quoted(mapping)} <<'MAPPING'\n"
                     f"{lines}MAPPING\n")


def oc_pull(job):
    mapping, script = oc_mapping(job, [(job.at_source(reference), f"file://{reference}")
                                       for reference in job.references])
    return script + quoted("oc", "image", "mirror", "--insecure", "--keep-manifest-list",
                           "-f", mapping, "--dir", job.folder)


def oc_push(job):
    mapping, script = oc_mapping(job, [(f"file://{reference}", job.at_target(reference))
                                       for reference in job.references])
    return script + quoted("oc", "image", "mirror", "--insecure", "--keep-manifest-list",
                           "-f", mapping, "--from-dir", job.folder)


# --- oc-mirror v2 -----------------------------------------------------------------------------
# mirrorToDisk and diskToMirror with a cache each, as on two hosts; the caches and the archive are
# both below the folder, so that what it writes is counted. It serves its cache on a port of all
# interfaces.


def oc_mirror_config(job):
    images = "".join(f"    - name: {job.at_source(reference)}\n" for reference in job.references)
    config = job.folder + ".imageset.yaml"
    return config, (
        f"mkdir -p {quoted(job.folder)} && cat >{quoted(config)} <<'YAML'\n"
        "kind: ImageSetConfiguration\n"
        "apiVersion: mirror.openshift.io/v2alpha1\n"
        f"mirror:\n  additionalImages:\n{images}YAML\n"
    )


def oc_mirror_pull(job):
    config, script = oc_mirror_config(job)
    return script + quoted("oc-mirror", "--v2", "-c", config, "--port", free_port(),
                           "--cache-dir", f"{job.folder}/cache-here", "--src-tls-verify=false",
                           f"file://{job.folder}/disk")


def oc_mirror_push(job):
    config, script = oc_mirror_config(job)
    return script + quoted("oc-mirror", "--v2", "-c", config, "--port", free_port(),
                           "--cache-dir", f"{job.folder}/cache-there",
                           "--from", f"file://{job.folder}/disk", "--dest-tls-verify=false",
                           f"docker://{job.target}")


# --- hauler -----------------------------------------------------------------------------------
# A store, an archive of it, a second store from that, and from there into the registry.


def hauler_save(job):
    return quoted("hauler", "store", "save", "--store", f"{job.folder}/store-here",
                  "-f", f"{job.folder}/haul.tar.zst")


def hauler_add(job):
    return in_turn([f"mkdir -p {quoted(job.folder)}"] + [
        quoted("hauler", "store", "add", "image", job.at_source(reference),
               "--store", f"{job.folder}/store-here")
        for reference in job.references] + [hauler_save(job)])


def hauler_sync(job):
    images = "".join(f"    - name: {job.at_source(reference)}\n" for reference in job.references)
    manifest = job.folder + ".hauler.yaml"
    return in_turn([
        f"mkdir -p {quoted(job.folder)}",
        f"cat >{quoted(manifest)} <<'YAML'\n"
        "apiVersion: content.hauler.cattle.io/v1\nkind: Images\nmetadata:\n  name: bench\n"
        f"spec:\n  images:\n{images}YAML",
        quoted("hauler", "store", "sync", "--store", f"{job.folder}/store-here",
               "-f", manifest),
        hauler_save(job),
    ])


def hauler_copy(job):
    return in_turn([
        quoted("hauler", "store", "load", "--store", f"{job.folder}/store-there",
               "-f", f"{job.folder}/haul.tar.zst"),
        quoted("hauler", "store", "copy", "--store", f"{job.folder}/store-there",
               "--plain-http", f"registry://{job.target}"),
    ])


# --- imgpkg: an archive for each image ----------------------------------------------------------


def imgpkg_pull(job, reference):
    return (f"mkdir -p {quoted(job.folder)} && "
            + quoted("imgpkg", "copy", "--registry-insecure", "-i", job.at_source(reference),
                     "--to-tar", f"{job.folder}/{flat(reference)}.tar"))


def imgpkg_push(job, reference):
    return quoted("imgpkg", "copy", "--registry-insecure",
                  "--tar", f"{job.folder}/{flat(reference)}.tar",
                  "--to-repo", job.at_target(reference.split(":")[0]))


# --- regctl: one layout with a tag for each image -----------------------------------------------


def regctl_pull(job, reference):
    return quoted("regctl", "--host", f"reg={job.source},tls=disabled", "image", "copy",
                  job.at_source(reference), f"ocidir://{job.folder}:{flat(reference)}")


def regctl_push(job, reference):
    return quoted("regctl", "--host", f"reg={job.target},tls=disabled", "image", "copy",
                  f"ocidir://{job.folder}:{flat(reference)}", job.at_target(reference))


OC, OC_MIRROR = ["oc", "version", "--client"], ["oc-mirror", "--v2", "version"]
HAULER, IMGPKG, REGCTL = ["hauler", "version"], ["imgpkg", "version"], ["regctl", "version"]
ELSEWHERE = [
    Peer("oc image mirror", "oc", oc_pull, oc_push, OC),
    Peer("oc-mirror v2", "oc-mirror", oc_mirror_pull, oc_mirror_push, OC_MIRROR),
    Peer("hauler store add", "hauler", hauler_add, hauler_copy, HAULER),
    Peer("hauler store sync", "hauler", hauler_sync, hauler_copy, HAULER),
    Peer("imgpkg copy", "imgpkg", for_each(in_turn, imgpkg_pull),
         for_each(in_turn, imgpkg_push), IMGPKG),
    Peer("imgpkg copy, xargs -P 4", "imgpkg", for_each(four_at_a_time, imgpkg_pull),
         for_each(four_at_a_time, imgpkg_push), IMGPKG),
    Peer("regctl image copy", "regctl", for_each(in_turn, regctl_pull),
         for_each(in_turn, regctl_push), REGCTL),
]
