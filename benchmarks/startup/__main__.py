"""Measures start-up, import, memory and the demonstration: `python -m benchmarks startup`.

Everything short is measured several times and told as a median.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from benchmarks import results
from benchmarks.processes import children, proportional

TIMES = 7
TIDEMILL = (sys.executable, "-m", "tidemill")


def main() -> None:
    """Measure, and write the section."""
    rows = [
        ("`tidemill --help`", f"{median(lambda: wall(*TIDEMILL, '--help')) * 1000:.0f} ms"),
        (
            "bare `python -c pass`",
            f"{median(lambda: wall(sys.executable, '-c', 'pass')) * 1000:.0f} ms",
        ),
        (
            "`import tidemill`",
            f"{median(lambda: wall(sys.executable, '-c', 'import tidemill')) * 1000:.0f} ms, "
            "interpreter included",
        ),
    ]
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        subprocess.run([*TIDEMILL, "init"], cwd=project, check=True, capture_output=True)
        rows.append(
            ("`tidemill run`, example data", f"{wall(*TIDEMILL, 'run', cwd=project):.1f} s")
        )
        ready, memory, latency = up(project)
        rows.append(("`tidemill up` to ready, one worker", f"{ready:.2f} s"))
        rows.append(("idle memory, control plane and worker", f"{memory:.0f} MB (proportional)"))
        rows.append(("one-row `/invocations`, one connection", f"{latency * 1000:.2f} ms median"))
        demo = wall(*TIDEMILL, "demo", "--folder", str(project / "demo"), "--json", cwd=project)
        rows.append(("`tidemill demo`, the whole year", f"{demo:.0f} s"))
    results.write("Start-up", "python -m benchmarks startup", render(rows))


def render(rows: list[tuple[str, str]]) -> str:
    """Return the table."""
    lines = "\n".join(f"| {what} | {value} |" for what, value in rows)
    return f"| what | measured |\n|---|---|\n{lines}\n"


def median(measure: Callable[[], float]) -> float:
    """Return the median of several measurements."""
    return statistics.median(measure() for _ in range(TIMES))


def wall(*command: str, cwd: Path | None = None) -> float:
    """Return how long a command takes, in seconds."""
    start = time.perf_counter()
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)
    return time.perf_counter() - start


def up(project: Path) -> tuple[float, float, float]:
    """Return seconds to ready, idle megabytes of all processes, and the median latency."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [*TIDEMILL, "up", "--json", "--port", "0", "--serve-port", "0"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("}"):
            break
    ready = time.perf_counter() - start
    serving = json.loads("".join(lines))["serving"]
    latencies = [ask(serving) for _ in range(500)]
    time.sleep(3)
    memory = sum(proportional(pid) for pid in [process.pid, *children(process.pid)])
    process.terminate()
    process.wait()
    process.stdout.close()
    return ready, memory, statistics.median(latencies[100:])


def ask(serving: str) -> float:
    """Ask for one prediction and return how long it took, in seconds."""
    with urllib.request.urlopen(f"{serving}/v2/models/model") as answer:
        names = [i["name"] for i in json.load(answer)["inputs"]]
    body = json.dumps({"dataframe_records": [dict.fromkeys(names, 1.0)]}).encode()
    request = urllib.request.Request(
        f"{serving}/invocations", body, {"Content-Type": "application/json"}
    )
    start = time.perf_counter()
    with urllib.request.urlopen(request) as answer:
        answer.read()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
