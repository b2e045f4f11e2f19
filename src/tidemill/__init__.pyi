from tidemill.monitoring.comparison import compare as compare
from tidemill.monitoring.comparison import prepare as prepare
from tidemill.pipelines.steps import pipeline as pipeline
from tidemill.pipelines.steps import step as step
from tidemill.sdk.files import log_artifact as log_artifact
from tidemill.sdk.files import log_artifacts as log_artifacts
from tidemill.sdk.files import log_dict as log_dict
from tidemill.sdk.files import log_figure as log_figure
from tidemill.sdk.files import log_text as log_text
from tidemill.sdk.fluent import active_run as active_run
from tidemill.sdk.fluent import end_run as end_run
from tidemill.sdk.fluent import get_run as get_run
from tidemill.sdk.fluent import log_metric as log_metric
from tidemill.sdk.fluent import log_metrics as log_metrics
from tidemill.sdk.fluent import log_param as log_param
from tidemill.sdk.fluent import log_params as log_params
from tidemill.sdk.fluent import search_runs as search_runs
from tidemill.sdk.fluent import set_experiment as set_experiment
from tidemill.sdk.fluent import set_tag as set_tag
from tidemill.sdk.fluent import set_tags as set_tags
from tidemill.sdk.fluent import start_run as start_run
from tidemill.sdk.letterbox import log_labels as log_labels
from tidemill.sdk.letterbox import read_predictions as read_predictions
from tidemill.sdk.traffic import deploy as deploy
from tidemill.sdk.traffic import promote as promote
from tidemill.sdk.traffic import rollback as rollback

__version__: str
