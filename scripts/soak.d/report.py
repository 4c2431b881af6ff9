"""The report of a soak: Markdown, with one table."""

import pathlib

BEGIN, END = "<!-- scripts/soak --report --into: begin -->\n", "<!-- scripts/soak --report --into: end -->\n"

# What the run has to reach whose figures are published.
RECORDED, RECORDED_FUZZ = [("export", "kills", 1000), ("import", "kills", 1000), ("mutations", "inputs", 20000)], 120

# Kind, what was counted, and how it is called.
ROWS = [("export", "kills", "kills of `airferry export`"),
        ("import", "kills", "kills of `airferry import`"),
        ("flips", "verified", "bundles with flipped bits, verified"),
        ("flips", "imported", "bundles with flipped bits, imported"),
        ("flips", "imported late", "imports during which bits flipped"),
        ("mutations", "inputs", "mutated bundles, judged by both verifiers")]


def number(value):
    """With spaces between thousands."""
    return f"{value:,}".replace(",", " ")


def duration(seconds):
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 180 else f"{minutes // 60} h {minutes % 60} min"


def table(state):
    data = state.data
    lines = ["| what | number | findings | seed | time |", "|---|--:|--:|--:|--:|"]
    seen = set()
    for kind, what, title in ROWS:
        count = state.count(kind, what)
        # Time and findings are those of a kind, and stand in its first row.
        again = kind in seen
        if count or state.kind(kind)["next"]:
            seen.add(kind)
            found = "" if again else number(state.findings(kind))
            time = "" if again else duration(state.kind(kind)["seconds"])
            lines.append(f"| {title} | {number(count)} | {found} | {data['seed']} | {time} |")
    for name, row in sorted(data["fuzz"].items()):
        lines.append(f"| inputs of the fuzz target `{name}` | {number(row['inputs'])} | "
                     f"{number(state.findings('fuzz ' + name))} | {data['seed']} | {duration(row['seconds'])} |")
    return lines


def moments(state, kind):
    """Where the kills fell."""
    counts = state.kind(kind)["counts"] if kind in state.data["kinds"] else {}
    rows = {what.removeprefix("moment "): n for what, n in counts.items() if what.startswith("moment ")}
    return ", ".join(f"{what} {number(n)}" for what, n in sorted(rows.items(), key=lambda row: -row[1]))


def is_recorded(state):
    """Whether the run is as long as the published one has to be."""
    seconds = [row["seconds"] for row in state.data["fuzz"].values()]
    return (all(state.count(kind, what) >= wanted for kind, what, wanted in RECORDED)
            and bool(seconds) and min(seconds) >= RECORDED_FUZZ)


def text(state):
    data = state.data
    lines = ["**The recorded run.**" if is_recorded(state) else "**A short run**, not the recorded one.", "",
             f"Begun {data['begun']}, last written {data['saved']}, {duration(data['seconds'])} on {data['machine']}.",
             f"{data['version']}, commit {data['commit']}, {data['build']}, `--seed {data['seed']}`.", ""]
    lines += table(state)
    notes = []
    for kind, what in (("export", "exports that then ended"), ("import", "imports that then ended")):
        if moments(state, kind):
            notes.append(f"Kills of `airferry {kind}` by what they left: {moments(state, kind)}; "
                         f"{number(state.count(kind, 'rounds'))} {what}.")
    into = state.count("import", "kills into docker-registry")
    if into:
        ours = state.count("import", "kills into the witness")
        notes.append(f"Of the killed imports {number(into)} went into docker-registry, {number(ours)} into the "
                     "registry that looks at each tag.")
    if data["fuzz"]:
        least = min(row["seconds"] for row in data["fuzz"].values())
        notes.append(f"{len(data['fuzz'])} fuzz targets, each for {least:.0f} seconds or more.")
    lines += [line for note in notes for line in ("", note)]
    for kind in data["finished"]:
        lines.append(f"Stopped early because of its findings: {kind}.")
    if data["findings"]:
        lines += ["", "Findings:", ""]
        for row in data["findings"]:
            lines.append(f"- {row['kind']}, {row['time']}: {row['lines'][0] if row['lines'] else ''}")
            lines += [f"  {line}" for line in row["lines"][1:4]]
            lines += [f"  kept in `{row['folder']}`; again: `{row['again']}`"]
    return "\n".join(lines) + "\n"


def into(state, page):
    """Puts the report between the two marks of a page."""
    path = pathlib.Path(page)
    old = path.read_text(encoding="utf-8")
    head, begin, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"soak: {page} does not have the two lines between which the report belongs:\n{BEGIN}{END}")
    path.write_text(head + BEGIN + "\n" + text(state) + "\n" + END + tail, encoding="utf-8")
