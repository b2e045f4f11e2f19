"""How the flight-delay model is made. Everything around `fit` is supplied by Tidemill."""

import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

PLACES = ["origin", "dest", "carrier"]


def fit(rows: pl.DataFrame, *, seed: int = 0, max_leaf_nodes: int = 15) -> Pipeline:
    """Learn from flights that have landed whether a flight arrives over 15 minutes late."""
    x, y = rows.drop("late"), rows["late"]
    encode = ColumnTransformer(
        [("places", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), PLACES)],
        remainder="passthrough",
    )
    trees = HistGradientBoostingClassifier(max_leaf_nodes=max_leaf_nodes, random_state=seed)
    return Pipeline([("encode", encode), ("trees", trees)]).fit(x, y)
