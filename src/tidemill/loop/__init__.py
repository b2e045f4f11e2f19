"""The controller: holds the policy against the state, decides, and writes down why."""
