"""How an export is laid out, told to programs and to people."""

from __future__ import annotations

import msgspec

FORMAT = 1
MANIFEST = "manifest.json"
README = "README.txt"
BLOBS = "blobs"
FILES = "files"
PREDICTIONS = "predictions"
LOGS = "logs"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What an export says of itself.

    Attributes:
        format: The version of this layout.
        tidemill: The version that wrote it.
        revisions: Of the database's tables, one a room.
        rows: How many rows each table has, by its file.
        blobs: How many stored files there are.
        blob_bytes: Of them together.
    """

    format: int = FORMAT
    tidemill: str
    revisions: tuple[str, ...]
    rows: dict[str, int]
    blobs: int
    blob_bytes: int


TEXT = """This folder is a whole home of Tidemill, in formats that other programs read.

manifest.json
    The version of Tidemill that wrote it, how many rows each table has, and how many files.

tables/ROOM/NAME.parquet
    Every table. Parquet is read by DuckDB, pandas, Polars, Spark, R and many more:
        duckdb -c "SELECT * FROM 'tables/tracking/runs.parquet'"
    Moments are in UTC. Columns called record, value, deployment or the like hold JSON.

    tracking     experiments, runs, params, tags, artifacts (names of files and their digests),
                 points (the whole history of every metric; where nan is true the value is not a
                 number), newest (the last point of each), inputs (datasets that runs read),
                 models (logged models) with model_params, model_tags, model_metrics and
                 model_artifacts, and model_links (which run read or wrote which model)
    registry     models, versions, tags, aliases, changes (the history of every alias, with who,
                 when and why), and the highest number that each name was ever given
    datasets     versions, the files that each added and removed, contracts, and which files of
                 the source were seen
    pipelines    runs, their steps, and values that may be used again
    serving      deployments (what stands behind each endpoint), rollouts, looks (the evidence at
                 each of them), and shadows (how they compare with what was answered)
    monitoring   windows (what was found in each stretch of predictions), blocks (the sums of each
                 stretch of time), health (the machine, processes and endpoints), hours (how much
                 came in each), what is standing, and the monitor's own state: its rows of late,
                 labels that are pending, accounts of the versions in rollouts, and counted (what
                 each of their requests was counted for)
    alerts       alerts, the conditions that they wait for, incidents, silences, and the outbox
                 (messages that were and are to be sent)
    journal      facts: everything that happened, in order, with who and why; and subscriptions:
                 up to where each reader has read them
    webhooks     hooks (who is told of models; their secrets are sealed with a key that stays) and
                 deliveries (what was and what is to be sent to them)
    lineage      edges: what was made from what

files/runs/RUN/PATH, files/models/MODEL/PATH
    The files of runs and of logged models, by their names.
files/registry/MODEL/VERSION/PATH
    The bundle of each registered version: its graph in ONNX, its manifest, its signature.
files/datasets/DATASET/NUMBER-PLACE-NAME.parquet
    The rows of datasets: each file is called by the version that added it.

blobs/AB/CDEF...
    The bytes of all of these files once more, called by their SHA-256. Where the file system
    allows, the files above are hard links to them and take no space of their own.

predictions/ENDPOINT/
    The log of predictions and of labels as workers wrote it, and the same as Parquet.
logs/RUN/
    What the steps of runs printed.

What is not here: signing keys, since they are secret, and the project's own folder, which is yours.

To make a home of it again:
    tidemill import FOLDER --home NEW
"""
