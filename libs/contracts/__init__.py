"""The contracts between deployables: events, topics, and the public form of posts."""
