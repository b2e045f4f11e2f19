"""Edge bundles: a model that runs where no platform is near."""
