ALTER TABLE users
    ADD COLUMN is_private boolean NOT NULL DEFAULT false,
    ADD COLUMN banned_at timestamptz;
CREATE INDEX users_banned ON users (user_id) WHERE banned_at IS NOT NULL;

-- Until then the reader pulls the followee, whose posts are still on their way into the reader's list.
ALTER TABLE follows ADD COLUMN pull_until timestamptz;

-- `place` orders a person's list by when things were done.
CREATE TABLE follow_requests (
    requester bigint NOT NULL,
    target bigint NOT NULL,
    created_at timestamptz NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (requester, target),
    CHECK (requester <> target)
);
CREATE INDEX follow_requests_of_target ON follow_requests (target, place);

CREATE TABLE blocks (
    blocker bigint NOT NULL,
    blocked bigint NOT NULL,
    created_at timestamptz NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (blocker, blocked),
    CHECK (blocker <> blocked)
);
CREATE INDEX blocks_of_blocker ON blocks (blocker, place);

CREATE TABLE mutes (
    muter bigint NOT NULL,
    muted bigint NOT NULL,
    created_at timestamptz NOT NULL,
    place bigint GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (muter, muted),
    CHECK (muter <> muted)
);
CREATE INDEX mutes_of_muter ON mutes (muter, place);
