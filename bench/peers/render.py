# SPDX-License-Identifier: MIT
"""Tables (Markdown) and charts (SVG) of what compare.py measured."""

import html
import json
import math
import pathlib
from typing import Any, Iterator, Optional

# Colour-blind safe (Okabe and Ito); the first is for ours.
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442"]
NOISY = 1.2
MODES = {"infer": "Inference", "train": "Training step"}

Results = dict[str, Any]
Row = dict[str, Any]


def write(results: Results, folder: pathlib.Path) -> None:
    """results.json, results.md and CELL.svg, each of them whole or as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    replace(folder / "results.json", json.dumps(results, indent=1) + "\n")
    replace(folder / "results.md", markdown(results))
    for cell in cells(results):
        replace(folder / f"{cell}.svg", chart(results, cell))


def replace(path: pathlib.Path, text: str) -> None:
    beside = path.with_name(path.name + ".new")
    beside.write_text(text)
    beside.replace(path)


# ---- What both show -----------------------------------------------------------------------------
def cells(results: Results) -> list[str]:
    return list(dict.fromkeys(row["cell"] for row in results["rows"]))


def groups(results: Results) -> Iterator[tuple[str, int, list[Row]]]:
    """The rows by mode and number of threads."""
    keys = dict.fromkeys((row["mode"], row["threads"]) for row in results["rows"])
    for mode, threads in sorted(keys):
        yield mode, threads, [row for row in results["rows"]
                              if (row["mode"], row["threads"]) == (mode, threads)]


def peers_of(results: Results, row: Row) -> dict[str, float]:
    """The times of all programs but ours, of which there may be several (other builds of it)."""
    programs = results["programs"]
    own = programs[results["ours"]]["peer"]
    return {name: figures["median_us"] for name, figures in row["programs"].items()
            if programs[name]["peer"] != own}


def time_to_best(results: Results, row: Row) -> Optional[float]:
    """Our time divided by that of the fastest other program: below 1 we are the fastest."""
    ours = row["programs"].get(results["ours"])
    others = peers_of(results, row)
    return ours["median_us"] / min(others.values()) if ours and others else None


def peak(results: Results, threads: int) -> Optional[float]:
    for line in results["roofline"]:
        if line["what"] == "fma" and line["threads"] == threads:
            return line["value"]
    return None


def geometric_mean(values: list[float]) -> Optional[float]:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def noisy(rounds: list[float]) -> bool:
    return max(rounds) > NOISY * min(rounds)


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


# ---- Markdown -----------------------------------------------------------------------------------
def markdown(results: Results) -> str:
    machine = results["machine"]
    programs = results["programs"]
    text = [
        "# recur and its peers",
        "",
        f"{machine['date']}, {machine['processor']}, {plural(machine['cores'], 'core')}, load "
        f"{machine['load_before']} before the start. {plural(results['rounds'], 'round')}"
        f"{unfinished(results)}, the programs by turns, at least {results['min_time']} s a run. "
        "Medians of µs for a pass, and GFLOP/s of its matrix products; the fastest in bold; ~ where "
        f"the slowest round took more than {NOISY} times the fastest. bench/README.md says what the "
        "columns mean.",
        "",
        "Programs: " + "; ".join(describe(name, program) for name, program in programs.items())
        + ".",
    ]
    runs = [figures for row in results["rows"] for figures in row["programs"].values()]
    if results.get("tries"):
        text += ["", f"{sum(figures['disturbed'] for figures in runs)} of "
                 f"{sum(len(figures['rounds_us']) for figures in runs)} runs were disturbed, in "
                 f"{results['tries']} tries."]
    if results["zero_state"]:
        text += ["", "Cannot be given an initial state, and start from zero: "
                 + ", ".join(results["zero_state"]) + "."]
    text += ["", *roofline_table(results), "", *means_table(results)]
    for mode, threads, rows in groups(results):
        text += ["", f"## {MODES[mode]}, {plural(threads, 'thread')}", "",
                 *rows_table(results, rows, threads)]
    text += ["", *[f"![{cell}]({cell}.svg)" for cell in cells(results)]]
    return "\n".join(text) + "\n"


def unfinished(results: Results) -> str:
    done, cases = results.get("cases_of_last_round"), results.get("cases")
    return "" if done == cases else f" (of the last one {done} of {cases} cases)"


def describe(name: str, program: dict[str, str]) -> str:
    variant = f", {program['variant']}" if program["variant"] else ""
    return f"**{name}** ({program['peer']} {program['version']}".rstrip() + f"{variant})"


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Numbers to the right, but for the first column."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def roofline_table(results: Results) -> list[str]:
    lines = results["roofline"]
    if not lines:
        return ["The machine's limits were not measured."]
    columns = list(dict.fromkeys((line["what"], line["level"]) for line in lines))
    head = ["the machine at most"]
    for what, level in columns:
        head.append("multiply-adds, GFLOP/s" if what == "fma" else f"reading {level}, GB/s")
    rows = []
    for threads in sorted({line["threads"] for line in lines}):
        values = {(line["what"], line["level"]): line["value"]
                  for line in lines if line["threads"] == threads}
        rows.append([plural(threads, "thread")]
                    + [f"{values[c]:.0f}" if c in values else "" for c in columns])
    return table(head, rows)


def means_table(results: Results) -> list[str]:
    """Geometric means of our time divided by each peer's, over the cases that both do."""
    ours = results["ours"]
    peers = [name for name in results["programs"] if name != ours]
    rows = []
    for mode, threads, group in groups(results):
        best = [ratio for row in group if (ratio := time_to_best(results, row)) is not None]
        line = [f"{MODES[mode]}, {plural(threads, 'thread')}", mean_of(best),
                f"{sum(ratio < 1 for ratio in best)} of {len(best)}"]
        for peer in peers:
            line.append(mean_of([
                row["programs"][ours]["median_us"] / row["programs"][peer]["median_us"]
                for row in group if ours in row["programs"] and peer in row["programs"]]))
        rows.append(line)
    return table([f"time of {ours} / time of", "the best peer", f"{ours} fastest", *peers], rows)


def mean_of(ratios: list[float]) -> str:
    mean = geometric_mean(ratios)
    return "" if mean is None else f"{mean:.2f}"


def rows_table(results: Results, rows: list[Row], threads: int) -> list[str]:
    ours = results["ours"]
    names = [name for name in results["programs"] if any(name in row["programs"] for row in rows)]
    limit = peak(results, threads)
    lines = []
    for row in sorted(rows, key=lambda row: cells(results).index(row["cell"])):
        fastest = min(figures["median_us"] for figures in row["programs"].values())
        line = [f"{row['cell']} {row['shape']}"]
        for name in names:
            figures = row["programs"].get(name)
            if figures is None:
                line.append("")
                continue
            value = f"{microseconds(figures['median_us'])} ({figures['gflops']:.1f})"
            value = f"**{value}**" if figures["median_us"] == fastest else value
            line.append(value + (" ~" if noisy(figures["rounds_us"]) else ""))
        ratio = time_to_best(results, row)
        line.append("" if ratio is None else f"{ratio:.2f}")
        mine = row["programs"].get(ours)
        line.append(f"{100 * mine['gflops'] / limit:.0f} %" if mine and limit else "")
        lines.append(line)
    head = ["cell T,B,I,H,L,D", *names, f"{ours} / best peer", f"{ours}, of peak"]
    return table(head, lines)


def microseconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


# ---- SVG ----------------------------------------------------------------------------------------
BAR, GAP = 9, 14  # widths: of a bar, between groups
LEFT, TOP, TITLE, HEIGHT, LABELS = 56, 60, 32, 150, 100  # of the drawing and of a panel's parts
CUT = 2.5  # higher bars end here


def chart(results: Results, cell: str) -> str:
    """Bars: speed relative to the fastest of the peers, a group for each shape, one panel for each
    mode and number of threads."""
    panels = [(f"{MODES[mode]}, {plural(threads, 'thread')}",
               [row for row in rows if row["cell"] == cell])
              for mode, threads, rows in groups(results)]
    panels = [(title, rows) for title, rows in panels if rows]
    names = list(results["programs"])
    group = BAR * len(names) + GAP
    legend = sum(map(legend_width, names))
    width = LEFT + max(584, legend, 16 + group * max(len(rows) for _, rows in panels))
    panel = TITLE + HEIGHT + LABELS
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
        f'height="{TOP + panel * len(panels)}" font-family="sans-serif" font-size="11" '
        'fill="#333">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="{LEFT}" y="20" font-size="15" font-weight="bold">{cell.upper()}: speed, the '
        f"fastest peer = 1; bars end at {CUT:g}</text>",
    ]
    x = LEFT
    for number, name in enumerate(names):
        parts.append(f'<rect x="{x}" y="32" width="10" height="10" fill="{colour(number)}"/>'
                     f'<text x="{x + 14}" y="41">{html.escape(name)}</text>')
        x += legend_width(name)
    for number, (title, rows) in enumerate(panels):
        parts += draw_panel(results, title, rows, names, TOP + panel * number, width)
    return "\n".join([*parts, "</svg>"]) + "\n"


def legend_width(name: str) -> int:
    return 30 + 7 * len(name)


def draw_panel(results: Results, title: str, rows: list[Row], names: list[str], top: float,
               width: float) -> Iterator[str]:
    base = top + TITLE + HEIGHT

    def y(speed: float) -> float:
        return round(base - HEIGHT * min(speed, CUT) / CUT, 1)

    yield f'<text x="{LEFT}" y="{top + 12}" font-weight="bold">{title}</text>'
    for step in range(int(CUT * 2) + 1):
        speed = step / 2
        stroke = "#666" if speed in (0, 1) else "#ddd"
        yield (f'<path d="M{LEFT} {y(speed)}H{width - 12}" stroke="{stroke}"/>'
               f'<text x="{LEFT - 8}" y="{y(speed) + 4}" text-anchor="end">{speed:g}</text>')
    group = BAR * len(names) + GAP
    for number, row in enumerate(rows):
        left = LEFT + GAP / 2 + group * number
        others = peers_of(results, row) or {
            name: figures["median_us"] for name, figures in row["programs"].items()}
        fastest = min(others.values())
        for place, name in enumerate(names):
            figures = row["programs"].get(name)
            if figures is None:
                continue
            speed = fastest / figures["median_us"]
            x = left + BAR * place
            tip = (f"{name}: {microseconds(figures['median_us'])} µs, "
                   f"{figures['gflops']:.1f} GFLOP/s")
            yield (f'<rect x="{x}" y="{y(speed)}" width="{BAR - 1}" '
                   f'height="{round(base - y(speed), 1)}" fill="{colour(place)}">'
                   f"<title>{html.escape(tip)}</title></rect>")
            if name == results["ours"]:
                yield (f'<text x="{x + BAR / 2}" y="{y(speed) - 3}" text-anchor="middle" '
                       f'font-size="9">{speed:.2f}</text>')
        middle = left + BAR * len(names) / 2
        yield (f'<text transform="translate({middle + 4} {base + 8}) rotate(-60)" '
               f'text-anchor="end">{row["shape"]}</text>')


def colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]
