"""The explainer as a service: HTTP routes that decode, call and encode. Needs the extra ``serve``."""
