"""The policy's reader: what is right is read, and each mistake is named with its line."""

from __future__ import annotations

import math
import tomllib
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.policy import ModelPolicy, MonitorPolicy, ServingPolicy
from tidemill.core.policy.errors import BadPolicy
from tidemill.core.policy.lines import locate
from tidemill.core.policy.reader import read_policy
from tidemill.core.policy.schema import policy_schema

HEAD = """\
project = "p"
[datasets.flights]
source = "data/*.csv"
[models.delay]
train = "pipeline:fit"
dataset = "flights"
"""


def test_everything_that_a_policy_can_say_is_read() -> None:
    text = (
        HEAD.replace('source = "data/*.csv"', 'source = "data/*.csv"\ntime = "at"\nlabel = "late"')
        + """
window = "60d"
holdout = "7d"
metrics = ["roc_auc", "f1"]
params = { learning_rate = 0.1, deep = true }
gate.roc_auc = { min = 0.6, beats_champion = true }
gate.latency_p99_ms = { max = 10 }
[models.delay.rollout]
steps = [5, 25.5, 100]
step_duration = "90m"
[models.delay.retrain]
on = ["new-data", "schedule: 0 3 * * 1"]
[alerts]
cooldown = "2h"
routes.critical = ["hook", "chat"]
[alerts.sinks.hook]
kind = "webhook"
url = "https://example.org/hook"
secret_env = "HOOK_SECRET"
[alerts.sinks.chat]
kind = "apprise"
url_file = "secrets/chat"
[alerts.rules.low]
metric = "roc_auc"
below = 0.6
recovered = 0.65
for = "14d"
models = ["delay"]
severity = "critical"
[alerts.rules.calm]
on = ["drift", "gate-held"]
severity = "ignore"
[settings]
port = 9000
"""
    )
    policy = read_policy(text)
    model = policy.models["delay"]
    assert (model.window, model.holdout) == (60 * 86400.0, 7 * 86400.0)
    assert model.gate["roc_auc"].min == 0.6
    assert model.rollout.steps == (5.0, 25.5, 100.0)
    assert model.rollout.step_duration == 5400
    assert policy.settings == {"port": 9000}
    low = policy.alerts.rules["low"]
    assert (low.hold, low.severity, low.recovered) == (14 * 86400.0, "critical", 0.65)
    assert policy.alerts.sinks["hook"].secret_env == "HOOK_SECRET"
    assert policy.alerts.routes.critical == ("hook", "chat")
    assert policy.alerts.cooldown == 7200
    assert read_policy(text.encode()) == policy
    assert read_policy("\ufeff" + text.replace("\n", "\r\n")) == policy
    assert read_policy("") == read_policy("# nothing\n")


def test_the_policy_of_the_demonstration_is_right() -> None:
    text = (files("tidemill.demo") / "project" / "tidemill.toml").read_bytes()
    assert read_policy(text).project == "flights-2013"


MODEL = "models.delay"
MISTAKES = {
    "not toml": ("x = \n", 7, ["Invalid value"]),
    "unknown key": ('windw = "60d"\n', 7, ["'windw'", f"[{MODEL}]", "'window'"]),
    "unknown section": ("[modles.x]\n", 7, ["'modles'", "'models'"]),
    "wrong type": ('seed = "a"\n', 7, [f"{MODEL}.seed is 'a'", "a whole number"]),
    "a switch": ("refit = 1\n", 7, [f"{MODEL}.refit is 1", "true or false"]),
    "no number": ("threshold = nan\n", 7, ["threshold is nan"]),
    "share above one": ("[models.delay.serving]\nlog = 7\n", 8, ["at most 1"]),
    "no share": ("[models.delay.serving]\nlog = nan\n", 8, ["log is nan", "finite"]),
    "word": ('task = "binray"\n', 7, ["'binray'", "'binary'"]),
    "duration": ('window = "60 days"\n', 7, ["'60 days'", "7d"]),
    "endless": ("window = inf\n", 7, ["window is inf"]),
    "negative": ("[models.delay.retrain]\ncooldown = -1\n", 8, ["cooldown is -1"]),
    "date": ("window = 2013-01-01\n", 7, ["window is"]),
    "metric": ('metrics = [\n"f1",\n"rocauc",\n]\n', 9, ["'rocauc'", "'roc_auc'"]),
    "metric of another task": (
        'task = "regression"\nmetrics = ["f1"]\n',
        8,
        ["no metric of regression models"],
    ),
    "gate's metric": ("[models.delay.gate]\nrocauc = { min = 1 }\n", 8, ["'roc_auc'"]),
    "gate of nothing": ("[models.delay.gate]\nf1 = { }\n", 8, ["asks for nothing"]),
    "gate out of reach": ("[models.delay.gate]\nf1 = { min = 1.5 }\n", 8, ["0 to 1"]),
    "gate upside down": ("[models.delay.gate]\nlog_loss = { min = 2, max = 1 }\n", 8, ["max, 1"]),
    "gate's key": ("[models.delay.gate]\nf1 = { confidnce = 1 }\n", 8, ["'confidence'"]),
    "gate's confidence": ("gate.f1 = { min = 0, confidence = 1.0 }\n", 7, ["below 1"]),
    "latency": ("gate.latency_p99_ms = { beats_champion = true }\n", 7, ["latency"]),
    "sandbox without a limit": ("gate.memory_mb = { }\n", 7, ["max or max_ratio"]),
    "factor of a metric": ("gate.f1 = { max_ratio = 2 }\n", 7, ["max_ratio", "beats_champion"]),
    "backtest": ("backtest = { max_chnged = 1 }\n", 7, ["'max_chnged'", "'max_changed'"]),
    "backtest of more than all": ("backtest = { max_changed = 3 }\n", 7, ["at most 1"]),
    "trigger": ('retrain.on = ["new_data"]\n', 7, ["'new_data'", "'new-data'"]),
    "schedule": ('retrain.on = ["schedule: 0 3"]\n', 7, ["five fields"]),
    "steps": ("rollout.steps = [5, 25]\n", 7, ["[5.0, 25.0]", "100"]),
    "step of nothing": ("rollout.steps = [\n 0,\n 100]\n", 8, ["steps[0] is 0", "above 0"]),
    "canary of another metric": ('rollout.metric = "auc"\n', 7, ["'auc'", "'roc_auc'"]),
    "canary of a metric without rows": ('rollout.metric = "roc_auc"\n', 7, ["mean over rows"]),
    "shift without a bound": ('rollout.on_shift = "hold"\n', 7, ["on_shift", "max_shift"]),
    "latency that never is": ("rollout.max_latency_ms = 0\n", 7, ["above 0"]),
    "ratio below one": ("rollout.max_latency_ratio = 0.5\n", 7, ["at least 1"]),
    "versions to keep": ("serving.keep = -1\n", 7, ["at least 0"]),
    "window below block": ('monitor.window = "1h"\n', 7, ["3600 s", "block"]),
    "list of tables": ("[[models.delay.rollout]]\nsteps = [100]\n", 7, ["a table"]),
    "sinks as a list": ('[alerts]\nsinks = ["log"]\n', 8, ["[alerts.sinks.NAME]"]),
    "sink": ('[alerts.sinks.s]\nkind = "webhok"\n', 8, ["'webhok'", "'webhook'"]),
    "sink without address": ('[alerts.sinks.s]\nkind = "webhook"\n', 7, ["0 addresses"]),
    "sink with a password": (
        '[alerts.sinks.s]\nkind = "webhook"\nurl = "https://me:it@example.org"\n',
        9,
        ["without a name or a password"],
    ),
    "sink's address in the open": (
        '[alerts.sinks.s]\nkind = "apprise"\nurl = "slack://a/b/c"\n',
        9,
        ["url_env"],
    ),
    "secret in place of a name": (
        '[alerts.sinks.s]\nkind = "log"\nsecret_env = "hunter-2"\n',
        9,
        ["names no variable"],
    ),
    "route to nobody": ('[alerts.routes]\nwarning = ["slack"]\n', 8, ["'slack'", "'log'"]),
    "route of no severity": ('[alerts.routes]\nwarnig = ["log"]\n', 8, ["'warning'"]),
    "rule of nothing": ('[alerts.rules.r]\nfor = "1d"\n', 7, ["neither kinds nor a figure"]),
    "rule of both": ('[alerts.rules.r]\non = ["drift"]\nmetric = "f1"\n', 7, ["both kinds"]),
    "rule's kind": ('[alerts.rules.r]\non = ["performence"]\n', 8, ["'performance'"]),
    "rule's key": ('[alerts.rules.r]\nhold = "1d"\n', 8, ["'hold'"]),
    "rule's duration": ('[alerts.rules.r]\non = ["drift"]\nfor = "long"\n', 9, ["'long'", "7d"]),
    "rule's figure": ('[alerts.rules.r]\nmetric = "recal"\nbelow = 1\n', 8, ["'recall'"]),
    "rule without a limit": ('[alerts.rules.r]\nmetric = "f1"\n', 7, ["no limit for f1"]),
    "rule that limits nothing": ('[alerts.rules.r]\non = ["drift"]\nbelow = 1\n', 9, ["metric"]),
    "rule's recovery": (
        '[alerts.rules.r]\nmetric = "f1"\nbelow = 0.5\nrecovered = 0.4\n',
        10,
        ["at least `below`, 0.5"],
    ),
    "rule's model": (
        '[alerts.rules.r]\non = ["drift"]\nmodels = ["dealy"]\n',
        9,
        ["'dealy'", "'delay'"],
    ),
    "rule's severity": (
        '[alerts.rules.r]\non = ["drift"]\nseverity = "hihg"\n',
        9,
        ["'hihg'", "'critical'"],
    ),
    "second definition": ("[models.delay]\n", 7, ["twice"]),
    "same endpoint": (
        '[models.b]\ntrain = "p:f"\ndataset = "flights"\nserving.endpoint = "delay"\n',
        10,
        ["'delay'", "does not use"],
    ),
    "nothing to train": ('[models.b]\ndataset = "flights"\n', 7, ["has no `train`"]),
    "no dataset": ('[models.b]\ntrain = "p:f"\ndataset = "fligths"\n', 9, ["'flights'"]),
    "no function": ('[models.b]\ndataset = "flights"\ntrain = "p.py"\n', 9, ["MODULE:FUNCTION"]),
    "absolute source": ('[datasets.d]\nsource = "/etc/*"\n', 8, ["/etc/*", "below"]),
    "source above": ('[datasets.d]\nsource = "a/../../b"\n', 8, ["below the project"]),
    "source on a drive": ("[datasets.d]\nsource = 'C:\\a.csv'\n", 8, ["below the project"]),
    "two roles": (
        '[datasets.d]\nsource = "a"\nlabel = "x"\ntime = "x"\n',
        10,
        ["'x' is the label already"],
    ),
    "label ignored": ('[datasets.d]\nsource = "a"\nlabel = "x"\nignore = ["x"]\n', 10, ["label"]),
    "name": ('[models."a b"]\ntrain = "p:f"\n', 7, ["'a b'", "letters"]),
    "unknown setting": ("[settings]\nprot = 1\n", 8, ["'prot'", "'port'"]),
    "wrong setting": ('[settings]\nport = "x"\n', 8, ["settings.port is 'x'", "65535"]),
    "settings": ("settings = 3\n", 7, ["there is no key"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_file_line_value_and_what_was_expected(name: str) -> None:
    text, line, words = MISTAKES[name]
    with pytest.raises(BadPolicy) as caught:
        read_policy(HEAD + text, filename="t.toml")
    said = str(caught.value)
    assert said.startswith(f"t.toml:{line}: "), said
    assert all(word in said for word in words), said
    assert caught.value.expected


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "#" * 2_000_000, b"project = '\xff'\n"])
def test_what_is_no_policy_at_all_is_refused(text: str | bytes) -> None:
    with pytest.raises(BadPolicy):
        read_policy(text)


KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\r\x7f"), max_size=6)
LEAVES = (
    st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\r\x7f"), max_size=12)
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, VALUES, max_size=4), max_size=4), st.data())
def test_every_key_is_found_in_its_line(
    document: dict[str, dict[str, Any]], data: st.DataObject
) -> None:
    lines: list[str] = []
    expected: dict[tuple[str, ...], int] = {}
    for table, content in document.items():
        lines += data.draw(st.sampled_from([[], [""], ["# [not.a] = table"]]))
        lines.append(f"[ {_quoted(table)} ]  # x = 1")
        expected[(table,)] = len(lines)
        for key, value in content.items():
            lines += data.draw(st.sampled_from([[], ["  # y = [ ]"]]))
            spread = data.draw(st.booleans())
            _write(lines, expected, (table, key), value, spread=spread)
    text = "\n".join(lines)
    assert tomllib.loads(text) == document
    found = locate(text)
    assert {path: found.get(path) for path in expected} == expected


def test_text_over_several_lines_holds_no_keys() -> None:
    text = 'a = """\n[b]\nc = 1\\"""\n"""\nd = \'\'\'\n[e]\'\'\'\n[f]\ng.h = 2\n[[i]]\n[[i]]\nj=1\n'
    lines = locate(text)
    assert ("b",) not in lines
    assert (lines[("d",)], lines["f", "g", "h"], lines["i", "1", "j"]) == (5, 8, 11)


def _write(
    lines: list[str],
    expected: dict[tuple[str, ...], int],
    path: tuple[str, ...],
    value: Any,
    *,
    spread: bool,
) -> None:
    expected[path] = len(lines) + 1
    if not (spread and isinstance(value, list)):
        lines.append(f"{_quoted(path[-1])} = {_toml(value)}")
        return
    lines.append(f"{_quoted(path[-1])} = [ # ]")
    for index, item in enumerate(value):
        expected[*path, str(index)] = len(lines) + 1
        lines.append(f"  {_toml(item)},")
    lines.append("]")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(k)} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(value) if math.isfinite(value) else f"{value}"
    return _quoted(value) if isinstance(value, str) else str(value)


def _quoted(text: str) -> str:
    plain = "".join(c if c.isalnum() else f"\\U{ord(c):08x}" for c in text)
    return f'"{plain}"'


def test_the_schema_describes_every_key() -> None:
    for definition in policy_schema()["$defs"].values():
        for key, value in definition["properties"].items():
            assert value.get("description"), (definition["title"], key)


def test_limits_of_health_are_read_and_their_mistakes_named() -> None:
    health = read_policy(b'[health]\nlasting = "2m"\nmax_latency = "250ms"\n').health
    assert (health.lasting, health.max_latency, health.max_queue) == (120.0, 0.25, 1.0)
    for text, said in (
        ('lasting = "2h"', r"tidemill.toml:2: health.lasting is 7200.*3600"),
        ("max_cp = 0.5", r"no key 'max_cp' in \[health\]\. Expected 'max_cpu'"),
        ("max_disk = 1.5", r"health.max_disk is 1.5"),
        ('max_queue = "soon"', r"health.max_queue is 'soon'"),
    ):
        with pytest.raises(BadPolicy, match=said):
            read_policy(f"[health]\n{text}\n".encode())


def test_what_is_redacted_is_not_watched() -> None:
    model = ModelPolicy(
        train="pipeline:fit",
        dataset="rides",
        monitor=MonitorPolicy(ignore=("weekday",)),
        serving=ServingPolicy(redact=("name", "zip: truncate 3")),
    )
    assert model.watching.ignore == ("weekday", "name", "zip")
    assert model.watching.window == model.monitor.window
