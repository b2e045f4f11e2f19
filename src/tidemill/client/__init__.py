"""The rooms' verbs over HTTP."""
