"""Puts load on a server with wrk (HTTP) and h2load (gRPC), and tells what it cost the server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import msgspec

from benchmarks.processes import children

SECONDS = int(os.environ.get("BENCH_SECONDS", "3"))
METHOD = "/inference.GRPCInferenceService/ModelInfer"
_SCRIPT = """
function init(args)
  local f = io.open(args[1], "rb"); wrk.body = f:read("*a"); f:close()
  wrk.method = "POST"; wrk.headers["Content-Type"] = "application/json"
  if args[2] and args[2] ~= "" then wrk.headers["Inference-Header-Content-Length"] = args[2] end
  if args[3] then delay = function() return tonumber(args[3]) end end
end
function done(s, l, r)
  io.write(string.format('{"requests":%d,"seconds":%.3f,"p50":%.3f,"p99":%.3f,"errors":%d}',
    s.requests, s.duration / 1e6, l:percentile(50) / 1000, l:percentile(99) / 1000,
    s.errors.status + s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout))
end
"""


class Seen(msgspec.Struct, frozen=True):
    """What came of some seconds of load.

    Attributes:
        requests: How many were answered.
        seconds: In how long.
        p50: The median latency in milliseconds.
        p99: The 99th percentile.
        errors: How many failed.
        cpu_us: The server's processor time a request, in microseconds.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int
    cpu_us: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def check_tools() -> None:
    """Exit with what to type where a tool is missing."""
    for tool, package in (("wrk", "wrk"), ("h2load", "nghttp2-client")):
        if shutil.which(tool) is None:
            raise SystemExit(f"This needs {tool}: apt-get install {package}")


def processor(pid: int) -> float:
    """Return the processor time that a process and those below it have used, in seconds."""
    ticks = 0
    for each in (pid, *children(pid)):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def http(url: str, pid: int, body: Path, connections: int, seconds: int = SECONDS) -> Seen:
    """Load a server over HTTP."""
    before = processor(pid)
    return _with_cost(_wrk(url, body, connections, seconds), pid, before)


def steady(url: str, body: Path, connections: int, seconds: int, pause: float) -> Seen:
    """Ask over some connections, each of which rests after each answer for so many ms."""
    return _wrk(url, body, connections, seconds, f"{pause:g}")


def _wrk(url: str, body: Path, connections: int, seconds: int, *pause: str) -> Seen:
    script = body.with_name("post.lua")
    script.write_text(_SCRIPT)
    head = body.with_name(f"{body.name}.head")
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "--latency"]
    command += ["-s", str(script), url, "--", str(body)]
    command += [head.read_text() if head.exists() else "", *pause]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=Seen)


def grpc(address: str, pid: int, body: Path, connections: int, seconds: int = SECONDS) -> Seen:
    """Load a server over gRPC, one call at a time on each connection."""
    command = ["h2load", "-D", str(seconds), "-c", str(connections), "-m", "1", "-d", str(body)]
    command += ["-H", "content-type: application/grpc", "-H", "te: trailers"]
    command.append(f"http://{address}{METHOD}")
    before = processor(pid)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return _with_cost(_read_h2load(done.stdout, seconds), pid, before)


def _read_h2load(text: str, seconds: int) -> Seen:
    counts = re.search(r"requests: \d+ total, .*? (\d+) succeeded, (\d+) failed", text)
    times = re.search(r"time for request: +\S+ +\S+ +(\S+)", text)
    assert counts is not None, text
    assert times is not None, text
    mean = _milliseconds(times[1])
    return Seen(int(counts[1]), float(seconds), mean, mean, int(counts[2]))


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\D+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _with_cost(seen: Seen, pid: int, before: float) -> Seen:
    cost = 1e6 * (processor(pid) - before) / max(seen.requests, 1)
    return msgspec.structs.replace(seen, cpu_us=cost)


def megabytes(pid: int) -> float:
    """Return the memory of a process and those below it."""
    from benchmarks.processes import proportional

    return sum(proportional(each) for each in (pid, *children(pid)))


def dumped(seen: Seen) -> str:
    """Return what was seen as JSON."""
    return json.dumps(msgspec.to_builtins(seen))
