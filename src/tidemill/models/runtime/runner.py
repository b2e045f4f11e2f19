"""Answers with one model, in a process and an environment of its own.

    python runner.py SOCKET LIFELINE MEMORY

The two numbers are inherited descriptors: a Unix socket on which the parent asks, and a pipe that
closes when the parent dies. This file is all that the environment has of Tidemill. It needs
Python 3.10, NumPy and what the model brings; the frame is Polars' or, for MLflow's models, pandas'.

A frame on the socket is two lengths, a head of JSON, and a body of float64 numbers, a column after
the other. Strings travel in the head.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_LENGTHS = struct.Struct(">IQ")
MOST_HEAD = 1 << 30
MOST_BODY = 1 << 36


class Closed(Exception):
    """The other side has ended."""


def send(connection: socket.socket, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Send a frame."""
    said = json.dumps(head, separators=(",", ":"), allow_nan=False).encode()
    connection.sendall(_LENGTHS.pack(len(said), len(body)) + said)
    if len(body):
        connection.sendall(body)


def receive(connection: socket.socket) -> tuple[dict[str, Any], bytearray]:
    """Wait for a frame.

    Raises:
        Closed: The other side has ended, or speaks something else.
    """
    lengths = _exactly(connection, _LENGTHS.size)
    head, body = _LENGTHS.unpack(lengths)
    if head > MOST_HEAD or body > MOST_BODY:
        raise Closed
    said = json.loads(_exactly(connection, head))
    if not isinstance(said, dict):
        raise Closed
    return said, _exactly(connection, body)


def _exactly(connection: socket.socket, count: int) -> bytearray:
    content = bytearray(count)
    view = memoryview(content)
    while view:
        got = connection.recv_into(view)
        if got == 0:
            raise Closed
        view = view[got:]
    return content


class Told:
    """What the parent says of the model: its manifest, as far as it matters here.

    Args:
        head: The parent's first frame.
    """

    def __init__(self, head: dict[str, Any]) -> None:
        self.folder = Path(head["folder"])
        self.flavor: str = head["flavor"]
        self.file: str = head["file"]
        self.form: str = head["form"]
        self.task: str = head["task"]
        self.classes: int = head["classes"]
        self.features: list[tuple[str, str]] = [(n, t) for n, t in head["features"]]
        self.adopted: dict[str, Any] = head["adopted"] or {}
        self.trusted: list[str] = head["trusted"]
        self.cpu_seconds: float = head["cpu_seconds"]

    @property
    def texts(self) -> int:
        """How many features are strings."""
        return sum(kind == "string" for _, kind in self.features)

    @property
    def path(self) -> Path:
        """Where the saved original lies."""
        return self.folder / self.file


# Rows.


def columns_of(told: Told, head: dict[str, Any], body: bytearray) -> dict[str, Any]:
    """Return the features of a request: arrays of numbers, lists of strings."""
    rows = head["rows"]
    matrix = np.frombuffer(body, dtype=np.float64).reshape(len(told.features) - told.texts, rows)
    numbers = iter(matrix)
    texts = iter(head["texts"])
    return {n: next(texts) if kind == "string" else next(numbers) for n, kind in told.features}


def polars_frame(told: Told, columns: dict[str, Any]) -> Any:
    """Return rows as the training function had them."""
    import polars as pl

    types: dict[str, Any] = {
        "bool": pl.Boolean,
        "int": pl.Int64,
        "float": pl.Float64,
        "string": pl.String,
        "datetime": pl.Datetime("us"),
        "date": pl.Date,
    }
    series = []
    for name, kind in told.features:
        one = pl.Series(name, columns[name], dtype=None if kind != "string" else pl.String)
        if kind != "string":
            one = one.fill_nan(None)
        if kind in {"datetime", "date"}:
            one = one.cast(pl.Int64 if kind == "datetime" else pl.Int32)
        series.append(one.cast(types[kind]))
    return pl.DataFrame(series)


# Flavors. Each loads a saved original and answers with probabilities or values.


class Python:
    """Any function or object; see the flavor of that name."""

    def load(self, told: Told) -> Any:
        return _unpickled(told.path)

    def answer(self, model: Any, rows: Any, told: Told) -> Any:
        verb = "predict" if told.task == "regression" else "predict_proba"
        return getattr(model, verb, model)(rows)


class Sklearn(Python):
    """scikit-learn, from skops or a pickle."""

    def load(self, told: Told) -> Any:
        if told.form != "skops":
            return _unpickled(told.path)
        import skops.io

        return skops.io.load(told.path, trusted=told.trusted)


class Xgboost:
    """XGBoost, from its own form."""

    def load(self, told: Told) -> Any:
        import xgboost

        model = getattr(xgboost, told.path.stem)()
        model.load_model(told.path)
        return model

    def answer(self, model: Any, rows: Any, told: Told) -> Any:
        import xgboost

        if hasattr(model, "get_booster"):
            verb = model.predict if told.task == "regression" else model.predict_proba
            return verb(rows)
        names = model.feature_names
        matrix = np.asarray((rows.select(names) if names else rows).to_numpy(), dtype=np.float64)
        return model.predict(xgboost.DMatrix(matrix, feature_names=names))


class Lightgbm:
    """LightGBM, from its own text."""

    def load(self, told: Told) -> Any:
        import lightgbm

        return lightgbm.Booster(model_str=told.path.read_text(errors="replace"))

    def answer(self, model: Any, rows: Any, told: Told) -> Any:
        names = model.feature_name()
        known = rows.select(names) if set(names) <= set(rows.columns) else rows
        return model.predict(np.asarray(known.to_numpy(), dtype=np.float64))


class Catboost:
    """CatBoost, from its own form."""

    def load(self, told: Told) -> Any:
        import catboost

        return getattr(catboost, told.path.stem)().load_model(str(told.path))

    def answer(self, model: Any, rows: Any, told: Told) -> Any:
        names = [n for n in model.feature_names_ if n in rows.columns]
        known = rows.select(names) if len(names) == len(rows.columns) else rows
        if model.get_cat_feature_indices():
            asked: Any = [list(row) for row in known.rows()]
        else:
            asked = np.asarray(known.to_numpy(), dtype=np.float64)
        kind = "Probability" if told.task != "regression" else None
        return model.predict(asked, prediction_type=kind) if kind else model.predict(asked)


class Torch(Python):
    """PyTorch, from a pickle; see the flavor of that name."""

    def answer(self, model: Any, rows: Any, told: Told) -> Any:
        import torch

        matrix = np.ascontiguousarray(np.asarray(rows.to_numpy(), dtype=np.float32))
        with torch.no_grad():
            said = model.eval()(torch.from_numpy(matrix)).detach().cpu().numpy()
        return said.reshape(-1) if said.ndim == 2 and said.shape[1] == 1 else said


class Mlflow:
    """A model in a folder as MLflow writes it: loaded by its own library, or else by MLflow."""

    def load(self, told: Told) -> Any:
        how, folder = told.adopted, told.path.parent
        if how["code"] is not None:
            sys.path.insert(0, str(folder / how["code"]))
        if how["kind"] == "pyfunc":
            import mlflow.pyfunc

            return mlflow.pyfunc.load_model(str(folder))
        path = folder / how["file"]
        if how["format"] == "skops":
            import skops.io

            named = skops.io.get_untrusted_types(file=path)
            return skops.io.load(path, trusted=sorted({*how["trusted"], *told.trusted, *named}))
        if how["kind"] == "xgboost" and how["format"] in {"ubj", "json", "xgb"}:
            import xgboost

            model = getattr(xgboost, how["class_name"] or "Booster")()
            model.load_model(path)
            return model
        if how["kind"] == "lightgbm" and how["class_name"] == "Booster":
            import lightgbm

            return lightgbm.Booster(model_file=str(path))
        return _unpickled(path)

    def frame(self, told: Told, columns: dict[str, Any]) -> Any:
        """Return rows as MLflow hands them over: a pandas table, or an array."""
        types = told.adopted["types"]
        if told.adopted["tensor"]:
            return np.column_stack([columns[n] for n, _ in told.features]).astype(types[0])
        import pandas as pd

        made = {}
        for (name, kind), wanted in zip(told.features, types, strict=True):
            made[name] = _pandas(pd, columns[name], kind, wanted)
        return pd.DataFrame(made)

    def classes(self, model: Any, told: Told) -> list[Any] | None:
        """Return a classifier's labels as plain values, or nothing for a regression."""
        named = told.adopted["classes"] or getattr(model, "classes_", None)
        if named is None or not len(named):
            return None
        return [c.item() if hasattr(c, "item") else c for c in named]

    def answer(self, model: Any, rows: Any, told: Told) -> Any:
        labels = self.classes(model, told)
        if labels is None or told.task == "regression":
            return np.asarray(_ask(model, rows, "predict"), dtype=np.float64)
        if hasattr(model, "predict_proba"):
            return model.predict_proba(rows)
        said = np.asarray(_ask(model, rows, "predict"))
        if said.ndim == 2 and said.shape[1] == len(labels):
            return said
        flat = said.reshape(-1)
        if len(labels) == 2 and flat.dtype.kind == "f":
            return flat
        return np.array([[float(one == label) for label in labels] for one in flat.tolist()])


def _ask(model: Any, rows: Any, verb: str) -> Any:
    if type(model).__module__.partition(".")[0] == "xgboost" and type(model).__name__ == "Booster":
        import xgboost

        rows = xgboost.DMatrix(rows)
    return getattr(model, verb)(rows)


def _pandas(pd: Any, values: Any, kind: str, wanted: str) -> Any:
    if kind == "string":
        return pd.Series(values, dtype=object)
    missing = np.isnan(values)
    if kind == "datetime":
        moments = np.where(missing, 0, values).astype("int64").astype("datetime64[us]")
        moments[missing] = np.datetime64("NaT")
        return pd.Series(moments).astype(wanted)
    if kind in {"int", "bool"} and missing.any():
        return pd.Series(values)  # as pandas itself has whole numbers with gaps
    return pd.Series(values.astype(wanted))


class Foreign:
    """A flavor that a plugin brings: it comes with Tidemill in the model's environment."""

    def load(self, told: Told) -> Any:
        protocol = importlib.import_module("tidemill.models.protocol")
        saved = protocol.Saved(told.file, told.form)
        return self._flavor(told).load(told.folder, saved, "own")

    def answer(self, model: Any, rows: Any, told: Told) -> Any:
        bundle = importlib.import_module("tidemill.models.bundle")
        signature = bundle.open_bundle(told.folder, verify=False).signature
        return self._flavor(told).predict(model, rows, signature)

    def _flavor(self, told: Told) -> Any:
        return importlib.import_module("tidemill.models.packing").FLAVORS.load(told.flavor)


FLAVORS: dict[str, Any] = {
    "python": Python(),
    "sklearn": Sklearn(),
    "xgboost": Xgboost(),
    "lightgbm": Lightgbm(),
    "catboost": Catboost(),
    "torch": Torch(),
}


MLFLOW = Mlflow()


def _flavor(told: Told) -> Any:
    return MLFLOW if told.form == "mlflow" else FLAVORS.get(told.flavor) or Foreign()


def _unpickled(path: Path) -> Any:
    import cloudpickle

    return cloudpickle.loads(path.read_bytes())


def answers_of(told: Told, model: Any, columns: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Ask the model, and return finite numbers of the shape that was agreed.

    Raises:
        ValueError: It answers with something else.
    """
    count = len(next(iter(columns.values())))
    flavor = _flavor(told)
    rows = MLFLOW.frame(told, columns) if flavor is MLFLOW else polars_frame(told, columns)
    said = np.asarray(flavor.answer(model, rows, told), dtype=np.float64)
    if told.task == "regression":
        said = said.reshape(-1)
    elif said.ndim == 1:
        said = np.column_stack([1.0 - said, said])
    wanted = (count,) if told.task == "regression" else (count, told.classes)
    if said.shape != wanted:
        raise ValueError(f"the model answered {count} rows with numbers of shape {said.shape}")
    if not np.isfinite(said).all():
        raise ValueError("the model answered with a number that is not finite")
    return np.ascontiguousarray(said)


# The process.


class Server:
    """Loads the model that the first frame names, then answers frame by frame.

    Args:
        connection: Where the parent asks.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._told: Told | None = None
        self._model: Any = None

    def run(self) -> None:
        """Answer until the parent hangs up."""
        while True:
            try:
                head, body = receive(self._connection)
            except (Closed, OSError):
                return
            self._reply(head, body)

    def _reply(self, head: dict[str, Any], body: bytearray) -> None:
        try:
            said, content = self._do(head, body)
        except Exception as error:  # the model is the user's, and raises what it likes
            traceback.print_exc()
            kind = "MemoryError" if isinstance(error, MemoryError) else type(error).__name__
            send(self._connection, {"error": kind, "message": _message(error)})
            return
        send(self._connection, said, content)

    def _do(self, head: dict[str, Any], body: bytearray) -> tuple[dict[str, Any], memoryview]:
        if self._told is None:
            told = Told(head)
            nothing = columns_of(told, {"rows": 0, "texts": [[]] * told.texts}, bytearray())
            flavor = _flavor(told)
            _ = MLFLOW.frame(told, nothing) if flavor is MLFLOW else polars_frame(told, nothing)
            self._model = flavor.load(told)
            self._told = told
            classes = flavor.classes(self._model, told) if flavor is MLFLOW else None
            return {"pid": os.getpid(), "classes": classes}, memoryview(b"")
        _allow_cpu(self._told.cpu_seconds)
        answers = answers_of(self._told, self._model, columns_of(self._told, head, body))
        return {"shape": list(answers.shape)}, answers.data.cast("B")


def _message(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:500]


def _allow_cpu(seconds: float) -> None:
    """Let this call use so much processor time; a call that uses more ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    allowed = int(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = allowed if hard == resource.RLIM_INFINITY else min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def _limit(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory > 0:
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _end_with(lifeline: int) -> None:
    """End this process when the parent's end of the pipe closes, whatever the model is doing."""
    os.read(lifeline, 1)
    shutil.rmtree(os.environ["TMPDIR"], ignore_errors=True)
    os._exit(0)


def main(arguments: Sequence[str], end_with: Callable[[int], None] = _end_with) -> None:
    """Serve on inherited descriptors."""
    descriptor, lifeline, memory = map(int, arguments)
    os.dup2(2, 1)  # what the model prints is for the log
    _limit(memory)
    threading.Thread(target=end_with, args=(lifeline,), daemon=True).start()
    with socket.socket(fileno=descriptor) as connection:
        Server(connection).run()


if __name__ == "__main__":
    main(sys.argv[1:])
