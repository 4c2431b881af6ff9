"""Telling what was measured: medians, Markdown tables, JSON and a plot."""

import html
import json
import os
import pathlib
import platform
import statistics
import subprocess

KEYS = ["wall", "cpu", "registry_cpu", "memory", "disk"]
HEADS = ["wall s", "own CPU s", "registry CPU s", "peak MiB", "new on disk MiB", "ratio"]


def medians(results):
    """Group, name, key to median. A tool that failed once has failed."""
    def middle(runs):
        failed = next((run["failed"] for run in runs if "failed" in run), None)
        if failed:
            return {"failed": failed}
        return {key: statistics.median(run[key] for run in runs)
                for key in KEYS if all(key in run for run in runs)}

    return {group: {name: middle(runs) for name, runs in tools.items()}
            for group, tools in results.items()}


def tables(middle):
    """A table for each group."""
    lines = []
    for group, tools in middle.items():
        lines += [f"| {group} | " + " | ".join(HEADS) + " |", "|---|" + "--:|" * len(HEADS)]
        own = tools.get("airferry", {}).get("wall")
        for name, row in tools.items():
            title = name.replace("|", "\\|")
            if "failed" in row:
                said = " ".join(row["failed"].split())[-160:].replace("|", "\\|")
                lines.append(f"| {title} | failed: {said} |" + " |" * (len(HEADS) - 1))
                continue
            cells = [f"{row[key]:.2f}" if key in row else "" for key in KEYS[:3]]
            cells += [f"{row[key] / 2**20:.0f}" if key in row else "" for key in KEYS[3:]]
            cells.append(f"{row['wall'] / own:.2f}" if own else "")
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def table(heads, rows):
    """One table of text cells."""
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def version_of(command):
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
        return (told.stdout or told.stderr).strip().splitlines()[0]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return None


def machine(commands):
    """What it was measured on; `commands` are rows of a name and the command that tells a version."""
    commands = [*commands, ["docker-registry", "docker-registry", "--version"]]
    with open("/proc/cpuinfo") as file:
        cpu = next((line.split(":", 1)[1].strip() for line in file
                    if line.startswith("model name")), platform.processor())
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
        "versions": {name: version_of(command) for name, *command in commands},
    }


def machine_line(about):
    versions = ", ".join(f"{name}: {version}" for name, version in about["versions"].items())
    return (f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, "
            f"load at the end {about['load']:.1f}; {versions}")


def plot(middle, groups):
    """Horizontal bars of wall time, a block for each group, each with its own scale."""
    left, wide, high, parts, y = 210, 400, 24, [], 8
    for group in groups:
        rows = [(name, row["wall"]) for name, row in middle.get(group, {}).items()
                if "wall" in row]
        if not rows:
            continue
        parts.append(f'<text x="{left}" y="{y + 15}" font-weight="bold">{html.escape(group)}, '
                     'seconds</text>')
        y += high
        longest = max(wall for _, wall in rows)
        for name, wall in sorted(rows, key=lambda row: row[1]):
            colour = "#2b7a78" if name.startswith("airferry") else "#b4bcbc"
            width = max(1, wide * wall / longest)
            parts.append(
                f'<text x="{left - 8}" y="{y + 14}" text-anchor="end">{html.escape(name)}</text>'
                f'<rect x="{left}" y="{y + 1}" width="{width:.1f}" height="17" rx="2" '
                f'fill="{colour}"/>'
                f'<text x="{left + width + 6:.1f}" y="{y + 14}">{wall:.2f}</text>')
            y += high
        y += 10
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + wide + 70}" height="{y}" '
            f'viewBox="0 0 {left + wide + 70} {y}" font-family="sans-serif" font-size="13">'
            f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>\n')


def write(out, name, content):
    """Writes a text, or anything else as JSON."""
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, indent=2) + "\n"
    (folder / name).write_text(text)
