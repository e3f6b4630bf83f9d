"""Image types, media paths and media readiness, shared by all deployables that accept or show media."""
