-- No foreign keys on the graph: they would lock a celebrity's one row in users with every follow.
CREATE TABLE users (
    user_id bigint PRIMARY KEY,
    username text COLLATE "C" NOT NULL CONSTRAINT users_username_taken UNIQUE,
    email text CONSTRAINT users_email_taken UNIQUE,
    phone text CONSTRAINT users_phone_taken UNIQUE,
    password_hash text NOT NULL,
    role text NOT NULL DEFAULT 'user',
    display_name text NOT NULL,
    bio text NOT NULL DEFAULT '',
    avatar_media_id bigint,
    avatar_path text,
    is_verified boolean NOT NULL DEFAULT false,
    mode text NOT NULL DEFAULT 'push' CHECK (mode IN ('push', 'pull')),
    mode_version bigint NOT NULL DEFAULT 0,
    left_pull_at timestamptz,
    version bigint NOT NULL,
    created_at timestamptz NOT NULL,
    CHECK (email IS NOT NULL OR phone IS NOT NULL)
);

CREATE TABLE sessions (
    session_id bigint PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    user_agent text NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX sessions_of_user ON sessions (user_id, session_id);

-- A session is one family: all refresh tokens that came one from the other.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    session_id bigint NOT NULL REFERENCES sessions ON DELETE CASCADE,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);

CREATE TABLE follows (
    follower_id bigint NOT NULL,
    followee_id bigint NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (follower_id, followee_id),
    CHECK (follower_id <> followee_id)
);
CREATE INDEX follows_of_followee ON follows (followee_id, follower_id);

-- A count is the sum of its slots. Slot 0 also holds what only the user moves: followees, posts and, in `version`,
-- the version of the user's last act on an edge.
CREATE TABLE user_counts (
    user_id bigint NOT NULL,
    slot smallint NOT NULL CHECK (slot BETWEEN 0 AND 15),
    followers bigint NOT NULL DEFAULT 0,
    following bigint NOT NULL DEFAULT 0,
    posts bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (user_id, slot)
) WITH (fillfactor = 50);

CREATE TABLE authored_posts (
    user_id bigint NOT NULL,
    post_id bigint NOT NULL,
    deleted boolean NOT NULL,
    PRIMARY KEY (user_id, post_id)
);
