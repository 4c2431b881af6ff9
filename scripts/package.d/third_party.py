"""Prints the licence texts of every crate that is compiled into airferry.

Reads the output of `cargo metadata` from stdin. Crates that only tests or build scripts use are
left out. A crate whose archive holds no licence text is listed by its licence's name alone.
"""

import json
import pathlib
import re
import sys

OF_CRATE = re.compile(r"(licen[sc]e|copying|notice|copyright|unlicense)", re.IGNORECASE)
# C libraries inside a crate. zstd's COPYING is the GPL, the other choice to its LICENSE.
OF_PART = re.compile(r"licen[sc]e", re.IGNORECASE)
DEEPEST = 4


def licence_files(directory):
    for path in directory.rglob("*"):
        parts = path.relative_to(directory).parts
        wanted = OF_CRATE if len(parts) == 1 else OF_PART
        if len(parts) <= DEEPEST and wanted.match(path.name) and path.is_file():
            yield path


metadata = json.load(sys.stdin)
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}

root = metadata["resolve"]["root"]
linked, waiting = set(), [root]
while waiting:
    node = waiting.pop()
    if node in linked:
        continue
    linked.add(node)
    for dependency in nodes[node]["deps"]:
        if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
            waiting.append(dependency["pkg"])
linked.remove(root)

# Many crates share one text: it is printed once, below the names of all of them.
users_of = {}
for package in sorted((packages[name] for name in linked), key=lambda p: (p["name"], p["version"])):
    directory = pathlib.Path(package["manifest_path"]).parent
    texts = [file.read_text("utf-8", "replace").strip() for file in sorted(licence_files(directory))]
    title = f"{package['name']} {package['version']} ({package['license'] or 'see the text'})"
    for text in texts or ["(The crate's archive holds no licence text.)"]:
        titles = users_of.setdefault(text, [])
        if title not in titles:
            titles.append(title)

print("airferry contains the following crates under the following licences.")
for text, titles in users_of.items():
    print("\n" + "=" * 78)
    print("\n".join(titles))
    print("-" * 78)
    print(text)
