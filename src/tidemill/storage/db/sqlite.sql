CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE webhooks_hooks (
	id VARCHAR(32) NOT NULL, 
	name VARCHAR(63) NOT NULL, 
	url TEXT NOT NULL, 
	events TEXT NOT NULL, 
	description TEXT NOT NULL, 
	status VARCHAR(12) NOT NULL, 
	secret TEXT NOT NULL, 
	"after" BIGINT NOT NULL, 
	created BIGINT NOT NULL, 
	updated BIGINT NOT NULL, 
	CONSTRAINT pk_webhooks_hooks PRIMARY KEY (id)
);
CREATE TABLE webhooks_deliveries (
	id VARCHAR(32) NOT NULL, 
	hook VARCHAR(32) NOT NULL, 
	fact BIGINT NOT NULL, 
	event VARCHAR(80) NOT NULL, 
	body TEXT NOT NULL, 
	status VARCHAR(12) NOT NULL, 
	attempts INTEGER NOT NULL, 
	due BIGINT NOT NULL, 
	answered INTEGER, 
	error TEXT NOT NULL, 
	CONSTRAINT pk_webhooks_deliveries PRIMARY KEY (id), 
	CONSTRAINT fk_webhooks_deliveries_hook FOREIGN KEY(hook) REFERENCES webhooks_hooks (id), 
	CONSTRAINT uq_webhooks_deliveries_hook_fact UNIQUE (hook, fact)
);
CREATE INDEX ix_webhooks_deliveries_hook_status_due ON webhooks_deliveries (hook, status, due);
CREATE TABLE tracking_experiments (
	id VARCHAR(32) NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	created BIGINT NOT NULL, 
	lifecycle VARCHAR(10) NOT NULL, artifact_location VARCHAR(1000), updated BIGINT DEFAULT 0 NOT NULL, deleted BIGINT, 
	CONSTRAINT pk_tracking_experiments PRIMARY KEY (id), 
	CONSTRAINT uq_tracking_experiments_name UNIQUE (name)
);
CREATE TABLE tracking_runs (
	id VARCHAR(32) NOT NULL, 
	experiment_id VARCHAR(32) NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	status VARCHAR(10) NOT NULL, 
	started BIGINT NOT NULL, 
	ended BIGINT, 
	actor VARCHAR(200) NOT NULL, 
	parent VARCHAR(32), 
	lifecycle VARCHAR(10) NOT NULL, deleted BIGINT, 
	CONSTRAINT pk_tracking_runs PRIMARY KEY (id), 
	CONSTRAINT fk_tracking_runs_experiment_id FOREIGN KEY(experiment_id) REFERENCES tracking_experiments (id)
);
CREATE TABLE tracking_params (
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_tracking_params PRIMARY KEY (run_id, "key"), 
	CONSTRAINT fk_tracking_params_run_id FOREIGN KEY(run_id) REFERENCES tracking_runs (id)
);
CREATE TABLE tracking_tags (
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_tracking_tags PRIMARY KEY (run_id, "key"), 
	CONSTRAINT fk_tracking_tags_run_id FOREIGN KEY(run_id) REFERENCES tracking_runs (id)
);
CREATE TABLE tracking_artifacts (
	run_id VARCHAR(32) NOT NULL, 
	path VARCHAR(1000) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	CONSTRAINT pk_tracking_artifacts PRIMARY KEY (run_id, path), 
	CONSTRAINT fk_tracking_artifacts_run_id FOREIGN KEY(run_id) REFERENCES tracking_runs (id)
);
CREATE TABLE tracking_experiment_tags (
	experiment_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_tracking_experiment_tags PRIMARY KEY (experiment_id, "key"), 
	CONSTRAINT fk_tracking_experiment_tags_experiment_id FOREIGN KEY(experiment_id) REFERENCES tracking_experiments (id)
);
CREATE TABLE tracking_points (
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	step BIGINT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	value DOUBLE NOT NULL, 
	nan BOOLEAN NOT NULL, 
	CONSTRAINT pk_tracking_points PRIMARY KEY (run_id, "key", step, timestamp, value, nan), 
	CONSTRAINT fk_tracking_points_run_id FOREIGN KEY(run_id) REFERENCES tracking_runs (id)
)
 WITHOUT ROWID

;
CREATE TABLE tracking_newest (
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	step BIGINT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	value DOUBLE NOT NULL, 
	nan BOOLEAN NOT NULL, experiment_id VARCHAR(32) DEFAULT '' NOT NULL, loose_from BIGINT, loose BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_tracking_newest PRIMARY KEY (run_id, "key"), 
	CONSTRAINT fk_tracking_newest_run_id FOREIGN KEY(run_id) REFERENCES tracking_runs (id)
);
CREATE TABLE tracking_inputs (
	run_id VARCHAR(32) NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	digest VARCHAR(36) NOT NULL, 
	source_type TEXT NOT NULL, 
	source TEXT NOT NULL, 
	schema TEXT NOT NULL, 
	profile TEXT NOT NULL, 
	context VARCHAR(500), 
	tags TEXT NOT NULL, 
	CONSTRAINT pk_tracking_inputs PRIMARY KEY (run_id, name, digest), 
	CONSTRAINT fk_tracking_inputs_run_id FOREIGN KEY(run_id) REFERENCES tracking_runs (id)
);
CREATE TABLE tracking_models (
	id VARCHAR(34) NOT NULL, 
	experiment_id VARCHAR(32) NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	model_type VARCHAR(500) NOT NULL, 
	created BIGINT NOT NULL, 
	updated BIGINT NOT NULL, 
	lifecycle VARCHAR(10) NOT NULL, deleted BIGINT, 
	CONSTRAINT pk_tracking_models PRIMARY KEY (id), 
	CONSTRAINT fk_tracking_models_experiment_id FOREIGN KEY(experiment_id) REFERENCES tracking_experiments (id)
);
CREATE INDEX ix_tracking_models_experiment_id_created ON tracking_models (experiment_id, created);
CREATE TABLE tracking_model_links (
	run_id VARCHAR(32) NOT NULL, 
	model_id VARCHAR(34) NOT NULL, 
	way VARCHAR(10) NOT NULL, 
	step BIGINT NOT NULL, 
	CONSTRAINT pk_tracking_model_links PRIMARY KEY (run_id, model_id, way), 
	CONSTRAINT fk_tracking_model_links_run_id FOREIGN KEY(run_id) REFERENCES tracking_runs (id)
);
CREATE TABLE tracking_model_params (
	model_id VARCHAR(34) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_tracking_model_params PRIMARY KEY (model_id, "key"), 
	CONSTRAINT fk_tracking_model_params_model_id FOREIGN KEY(model_id) REFERENCES tracking_models (id)
);
CREATE TABLE tracking_model_tags (
	model_id VARCHAR(34) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_tracking_model_tags PRIMARY KEY (model_id, "key"), 
	CONSTRAINT fk_tracking_model_tags_model_id FOREIGN KEY(model_id) REFERENCES tracking_models (id)
);
CREATE TABLE tracking_model_metrics (
	model_id VARCHAR(34) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	dataset_name VARCHAR(500) NOT NULL, 
	dataset_digest VARCHAR(36) NOT NULL, 
	step BIGINT NOT NULL, 
	timestamp BIGINT NOT NULL, 
	value DOUBLE NOT NULL, 
	nan BOOLEAN NOT NULL, 
	CONSTRAINT pk_tracking_model_metrics PRIMARY KEY (model_id, run_id, "key", dataset_name, dataset_digest), 
	CONSTRAINT fk_tracking_model_metrics_model_id FOREIGN KEY(model_id) REFERENCES tracking_models (id)
);
CREATE TABLE tracking_model_artifacts (
	model_id VARCHAR(34) NOT NULL, 
	path VARCHAR(1000) NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	CONSTRAINT pk_tracking_model_artifacts PRIMARY KEY (model_id, path), 
	CONSTRAINT fk_tracking_model_artifacts_model_id FOREIGN KEY(model_id) REFERENCES tracking_models (id)
);
CREATE INDEX ix_tracking_newest_experiment_id_key_nan_value ON tracking_newest (experiment_id, "key", nan, value);
CREATE INDEX ix_tracking_params_key_value ON tracking_params ("key", substr(value, 1, 100), run_id);
CREATE INDEX ix_tracking_tags_key_value ON tracking_tags ("key", substr(value, 1, 100), run_id);
CREATE INDEX ix_tracking_experiments_deleted ON tracking_experiments (deleted);
CREATE INDEX ix_tracking_runs_deleted ON tracking_runs (deleted);
CREATE INDEX ix_tracking_models_deleted ON tracking_models (deleted);
CREATE TABLE tracking_blocks (
	run_id VARCHAR(32) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	last BIGINT NOT NULL, 
	first BIGINT NOT NULL, 
	low DOUBLE, 
	low_timestamp BIGINT, 
	low_step BIGINT, 
	high DOUBLE, 
	high_timestamp BIGINT, 
	high_step BIGINT, 
	PRIMARY KEY (run_id, "key", last), 
	FOREIGN KEY(run_id) REFERENCES tracking_runs (id)
)
 WITHOUT ROWID

;
CREATE INDEX ix_tracking_runs_experiment_id_started_id ON tracking_runs (experiment_id, started DESC, id);
CREATE TABLE serving_deployments (
	endpoint VARCHAR(128) NOT NULL, 
	generation INTEGER NOT NULL, 
	deployment TEXT NOT NULL, 
	CONSTRAINT pk_serving_deployments PRIMARY KEY (endpoint)
);
CREATE TABLE serving_rollouts (
	id VARCHAR(32) NOT NULL, 
	endpoint VARCHAR(128) NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	rollout TEXT NOT NULL, 
	CONSTRAINT pk_serving_rollouts PRIMARY KEY (id)
);
CREATE INDEX ix_serving_rollouts_endpoint_status ON serving_rollouts (endpoint, status);
CREATE TABLE serving_looks (
	rollout VARCHAR(32) NOT NULL, 
	time BIGINT NOT NULL, 
	look TEXT NOT NULL, 
	CONSTRAINT pk_serving_looks PRIMARY KEY (rollout, time)
);
CREATE TABLE serving_shadows (
	endpoint VARCHAR(128) NOT NULL, 
	version INTEGER NOT NULL, 
	time BIGINT NOT NULL, 
	report TEXT NOT NULL, 
	CONSTRAINT pk_serving_shadows PRIMARY KEY (endpoint, version)
);
CREATE TABLE registry_models (
	name VARCHAR(250) NOT NULL, 
	created BIGINT NOT NULL, 
	description TEXT NOT NULL, 
	updated BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_registry_models PRIMARY KEY (name)
);
CREATE TABLE registry_versions (
	model VARCHAR(250) NOT NULL, 
	version INTEGER NOT NULL, 
	created BIGINT NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	run_id VARCHAR(32) NOT NULL, 
	status VARCHAR(20) NOT NULL, 
	record TEXT NOT NULL, model_id VARCHAR(40) DEFAULT '' NOT NULL, source TEXT DEFAULT '' NOT NULL, description TEXT DEFAULT '' NOT NULL, run_link TEXT DEFAULT '' NOT NULL, stage VARCHAR(20) DEFAULT 'None' NOT NULL, updated BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_registry_versions PRIMARY KEY (model, version), 
	CONSTRAINT fk_registry_versions_model FOREIGN KEY(model) REFERENCES registry_models (name)
);
CREATE INDEX ix_registry_versions_run_id ON registry_versions (run_id);
CREATE TABLE registry_aliases (
	model VARCHAR(250) NOT NULL, 
	alias VARCHAR(250) NOT NULL, 
	version INTEGER NOT NULL, 
	CONSTRAINT pk_registry_aliases PRIMARY KEY (model, alias), 
	CONSTRAINT fk_registry_aliases_model_version FOREIGN KEY(model, version) REFERENCES registry_versions (model, version)
);
CREATE TABLE registry_changes (
	id VARCHAR(32) NOT NULL, 
	time BIGINT NOT NULL, 
	model VARCHAR(250) NOT NULL, 
	alias VARCHAR(250) NOT NULL, 
	version INTEGER, 
	previous INTEGER, 
	actor VARCHAR(200) NOT NULL, 
	reason TEXT NOT NULL, 
	CONSTRAINT pk_registry_changes PRIMARY KEY (id)
);
CREATE INDEX ix_registry_changes_model_time ON registry_changes (model, time);
CREATE TABLE registry_numbers (
	model VARCHAR(250) NOT NULL, 
	highest INTEGER NOT NULL, 
	CONSTRAINT pk_registry_numbers PRIMARY KEY (model)
);
CREATE TABLE registry_model_tags (
	model VARCHAR(250) NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_registry_model_tags PRIMARY KEY (model, "key"), 
	CONSTRAINT fk_registry_model_tags_model FOREIGN KEY(model) REFERENCES registry_models (name)
);
CREATE TABLE registry_version_tags (
	model VARCHAR(250) NOT NULL, 
	version INTEGER NOT NULL, 
	"key" VARCHAR(250) NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_registry_version_tags PRIMARY KEY (model, version, "key"), 
	CONSTRAINT fk_registry_version_tags_model_version FOREIGN KEY(model, version) REFERENCES registry_versions (model, version)
);
CREATE INDEX ix_registry_versions_updated ON registry_versions (updated);
CREATE TABLE pipelines_runs (
	id VARCHAR(32) NOT NULL, 
	pipeline VARCHAR(250) NOT NULL, 
	status VARCHAR(12) NOT NULL, 
	started BIGINT NOT NULL, 
	ended BIGINT, 
	actor VARCHAR(200) NOT NULL, 
	error TEXT, 
	arguments TEXT NOT NULL, 
	CONSTRAINT pk_pipelines_runs PRIMARY KEY (id)
);
CREATE INDEX ix_pipelines_runs_status ON pipelines_runs (status);
CREATE TABLE pipelines_steps (
	run_id VARCHAR(32) NOT NULL, 
	place INTEGER NOT NULL, 
	name VARCHAR(250) NOT NULL, 
	status VARCHAR(12) NOT NULL, 
	started BIGINT, 
	ended BIGINT, 
	"key" VARCHAR(64), 
	value TEXT, 
	error TEXT, 
	CONSTRAINT pk_pipelines_steps PRIMARY KEY (run_id, place), 
	CONSTRAINT fk_pipelines_steps_run_id FOREIGN KEY(run_id) REFERENCES pipelines_runs (id)
);
CREATE TABLE pipelines_values (
	"key" VARCHAR(64) NOT NULL, 
	value TEXT NOT NULL, 
	created BIGINT NOT NULL, 
	CONSTRAINT pk_pipelines_values PRIMARY KEY ("key")
);
CREATE TABLE monitoring_state (
	endpoint VARCHAR(250) NOT NULL, 
	progress TEXT NOT NULL, 
	CONSTRAINT pk_monitoring_state PRIMARY KEY (endpoint)
);
CREATE TABLE monitoring_rows (
	endpoint VARCHAR(250) NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	time BIGINT NOT NULL, 
	"key" VARCHAR(500), 
	version INTEGER NOT NULL, 
	role VARCHAR(10) NOT NULL, 
	status VARCHAR(10) NOT NULL, 
	latency_us INTEGER NOT NULL, 
	answer BLOB NOT NULL, 
	label BLOB, 
	arrived BIGINT, weight FLOAT DEFAULT '1' NOT NULL, touched BIGINT, 
	CONSTRAINT pk_monitoring_rows PRIMARY KEY (endpoint, id)
);
CREATE INDEX ix_monitoring_rows_endpoint_time ON monitoring_rows (endpoint, time);
CREATE INDEX ix_monitoring_rows_endpoint_key ON monitoring_rows (endpoint, "key");
CREATE TABLE monitoring_windows (
	endpoint VARCHAR(250) NOT NULL, 
	since BIGINT NOT NULL, 
	report TEXT NOT NULL, 
	CONSTRAINT pk_monitoring_windows PRIMARY KEY (endpoint, since)
);
CREATE TABLE monitoring_pending (
	endpoint VARCHAR(250) NOT NULL, 
	"by" VARCHAR(3) NOT NULL, 
	name VARCHAR(500) NOT NULL, 
	label BLOB NOT NULL, 
	arrived BIGINT NOT NULL, 
	CONSTRAINT pk_monitoring_pending PRIMARY KEY (endpoint, "by", name)
);
CREATE TABLE monitoring_blocks (
	endpoint VARCHAR(250) NOT NULL, 
	model VARCHAR(250) NOT NULL, 
	version INTEGER NOT NULL, 
	role VARCHAR(10) NOT NULL, 
	since BIGINT NOT NULL, 
	until BIGINT NOT NULL, 
	state BLOB NOT NULL, 
	CONSTRAINT pk_monitoring_blocks_by_role PRIMARY KEY (endpoint, model, version, role, since)
);
CREATE TABLE monitoring_health (
	ring INTEGER NOT NULL, 
	place INTEGER NOT NULL, 
	since BIGINT NOT NULL, 
	figures BLOB NOT NULL, 
	CONSTRAINT pk_monitoring_health PRIMARY KEY (ring, place)
);
CREATE TABLE monitoring_standing (
	subject VARCHAR(300) NOT NULL, 
	kind VARCHAR(30) NOT NULL, 
	about VARCHAR(250) NOT NULL, 
	finding TEXT NOT NULL, 
	CONSTRAINT pk_monitoring_standing PRIMARY KEY (subject, kind, about)
);
CREATE TABLE monitoring_hours (
	endpoint VARCHAR(250) NOT NULL, 
	what VARCHAR(20) NOT NULL, 
	hour INTEGER NOT NULL, 
	came INTEGER NOT NULL, 
	newest BIGINT NOT NULL, 
	CONSTRAINT pk_monitoring_hours PRIMARY KEY (endpoint, what, hour)
);
CREATE INDEX ix_monitoring_rows_touched ON monitoring_rows (endpoint, touched) WHERE touched IS NOT NULL;
CREATE TABLE monitoring_accounts (
	name VARCHAR(64) NOT NULL, 
	endpoint VARCHAR(250) NOT NULL, 
	number INTEGER NOT NULL, 
	seen BIGINT NOT NULL, 
	"plan" TEXT NOT NULL, 
	arm TEXT NOT NULL, 
	CONSTRAINT pk_monitoring_accounts PRIMARY KEY (name)
);
CREATE TABLE monitoring_counted (
	account INTEGER NOT NULL, 
	time BIGINT NOT NULL, 
	name VARCHAR(32) NOT NULL, 
	entry TEXT NOT NULL, 
	CONSTRAINT pk_monitoring_counted PRIMARY KEY (account, time, name)
)
 WITHOUT ROWID

;
CREATE TABLE lineage_edges (
	source VARCHAR(600) NOT NULL, 
	target VARCHAR(600) NOT NULL, 
	relation VARCHAR(80) NOT NULL, 
	time BIGINT NOT NULL, 
	CONSTRAINT pk_lineage_edges PRIMARY KEY (source, target, relation)
);
CREATE INDEX ix_lineage_edges_target ON lineage_edges (target);
CREATE TABLE journal_facts (
	position INTEGER NOT NULL, 
	id VARCHAR(32) NOT NULL, 
	time BIGINT NOT NULL, 
	type VARCHAR(80) NOT NULL, 
	subject VARCHAR(600) NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	cause VARCHAR(32), 
	data TEXT NOT NULL, 
	CONSTRAINT pk_journal_facts PRIMARY KEY (position), 
	CONSTRAINT uq_journal_facts_id UNIQUE (id)
);
CREATE INDEX ix_journal_facts_type_position ON journal_facts (type, position);
CREATE INDEX ix_journal_facts_subject_position ON journal_facts (subject, position);
CREATE TABLE journal_subscriptions (
	name VARCHAR(200) NOT NULL, 
	position BIGINT NOT NULL, 
	CONSTRAINT pk_journal_subscriptions PRIMARY KEY (name)
);
CREATE TABLE homes_identity (
	id VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_homes_identity PRIMARY KEY (id)
);
CREATE TABLE datasets_versions (
	dataset VARCHAR(250) NOT NULL, 
	number INTEGER NOT NULL, 
	version VARCHAR(64) NOT NULL, 
	parent VARCHAR(64), 
	files INTEGER NOT NULL, 
	rows BIGINT NOT NULL, 
	contract VARCHAR(64), 
	created BIGINT NOT NULL, 
	actor VARCHAR(200) NOT NULL, 
	message TEXT NOT NULL, 
	CONSTRAINT pk_datasets_versions PRIMARY KEY (dataset, number)
);
CREATE INDEX ix_datasets_versions_version ON datasets_versions (version);
CREATE TABLE datasets_files (
	dataset VARCHAR(250) NOT NULL, 
	added INTEGER NOT NULL, 
	place INTEGER NOT NULL, 
	removed INTEGER, 
	digest VARCHAR(64) NOT NULL, 
	size BIGINT NOT NULL, 
	rows BIGINT NOT NULL, 
	name VARCHAR(1000) NOT NULL, 
	since BIGINT, 
	until BIGINT, 
	CONSTRAINT pk_datasets_files PRIMARY KEY (dataset, added, place)
);
CREATE TABLE datasets_contracts (
	digest VARCHAR(64) NOT NULL, 
	contract TEXT NOT NULL, 
	CONSTRAINT pk_datasets_contracts PRIMARY KEY (digest)
);
CREATE TABLE datasets_seen (
	dataset VARCHAR(250) NOT NULL, 
	path VARCHAR(1000) NOT NULL, 
	size BIGINT NOT NULL, 
	mtime_ns BIGINT NOT NULL, 
	inode BIGINT NOT NULL, 
	digest VARCHAR(64), 
	contract VARCHAR(64), 
	CONSTRAINT pk_datasets_seen PRIMARY KEY (dataset, path)
);
CREATE TABLE alerts_conditions (
	fingerprint VARCHAR(16) NOT NULL, 
	condition TEXT NOT NULL, 
	CONSTRAINT pk_alerts_conditions PRIMARY KEY (fingerprint)
);
CREATE TABLE alerts_alerts (
	number INTEGER NOT NULL, 
	incident INTEGER NOT NULL, 
	status VARCHAR(10) NOT NULL, 
	resolved BIGINT, 
	alert TEXT NOT NULL, 
	CONSTRAINT pk_alerts_alerts PRIMARY KEY (number)
);
CREATE INDEX ix_alerts_alerts_status_resolved ON alerts_alerts (status, resolved);
CREATE INDEX ix_alerts_alerts_incident ON alerts_alerts (incident);
CREATE TABLE alerts_incidents (
	number INTEGER NOT NULL, 
	status VARCHAR(10) NOT NULL, 
	resolved BIGINT, 
	incident TEXT NOT NULL, 
	CONSTRAINT pk_alerts_incidents PRIMARY KEY (number)
);
CREATE INDEX ix_alerts_incidents_status_resolved ON alerts_incidents (status, resolved);
CREATE TABLE alerts_silences (
	number INTEGER NOT NULL, 
	until BIGINT NOT NULL, 
	silence TEXT NOT NULL, 
	CONSTRAINT pk_alerts_silences PRIMARY KEY (number)
);
CREATE INDEX ix_alerts_silences_until ON alerts_silences (until);
CREATE TABLE alerts_outbox (
	id VARCHAR(32) NOT NULL, 
	sink VARCHAR(100) NOT NULL, 
	alert INTEGER NOT NULL, 
	status VARCHAR(10) NOT NULL, 
	due BIGINT NOT NULL, 
	ended BIGINT, 
	delivery TEXT NOT NULL, 
	CONSTRAINT pk_alerts_outbox PRIMARY KEY (id)
);
CREATE INDEX ix_alerts_outbox_status_sink_due ON alerts_outbox (status, sink, due);
CREATE INDEX ix_alerts_outbox_alert ON alerts_outbox (alert);
INSERT INTO alembic_version VALUES ('alerts_0001');
INSERT INTO alembic_version VALUES ('datasets_0001');
INSERT INTO alembic_version VALUES ('homes_0001');
INSERT INTO alembic_version VALUES ('journal_0001');
INSERT INTO alembic_version VALUES ('lineage_0001');
INSERT INTO alembic_version VALUES ('monitoring_0007');
INSERT INTO alembic_version VALUES ('pipelines_0001');
INSERT INTO alembic_version VALUES ('registry_0002');
INSERT INTO alembic_version VALUES ('serving_0002');
INSERT INTO alembic_version VALUES ('tracking_0007');
INSERT INTO alembic_version VALUES ('webhooks_0001');
