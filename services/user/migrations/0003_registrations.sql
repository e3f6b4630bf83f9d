-- A registration that is sent again with its Idempotency-Key, because the answer was lost. Kept for a day.
CREATE TABLE registrations (
    key text NOT NULL,
    username text NOT NULL,
    user_id bigint NOT NULL,
    form_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (key, username)
);
CREATE INDEX registrations_by_time ON registrations (created_at);
