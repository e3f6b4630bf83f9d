"""Types, paths and readiness of pictures: what every deployable that shows or takes media shares."""
