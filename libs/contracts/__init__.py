"""The one place where an event, a topic or a public post is defined."""
