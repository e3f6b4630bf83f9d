"""Image types and media paths, shared by the deployables that accept or show media."""
