"""Videos on this node: subscriptions, the inbox, channels."""
