CREATE TABLE tk_analytics_events (
    id UUID NOT NULL,
    position BIGINT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    event_type VARCHAR NOT NULL,
    spelling VARCHAR NOT NULL,
    org_id VARCHAR NOT NULL,
    session_id VARCHAR NOT NULL,
    event_metadata JSONB,
    asset_id VARCHAR,
    user_id VARCHAR,
    config_id VARCHAR,
    configuration JSONB,
    device VARCHAR,
    device_type VARCHAR,
    device_family VARCHAR,
    system VARCHAR,
    browser VARCHAR,
    user_agent VARCHAR,
    metric DOUBLE PRECISION NOT NULL,
    request_url VARCHAR,
    request_origin VARCHAR,
    referer VARCHAR NOT NULL,
    idempotency_key VARCHAR,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX tk_analytics_events_idempotency ON tk_analytics_events (org_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE INDEX tk_analytics_events_terms ON tk_analytics_events USING gin (
    (array_remove(ARRAY[
        hashtextextended(session_id, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 0),
        hashtextextended(user_id, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 1),
        hashtextextended(config_id, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 2),
        hashtextextended(user_agent, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 3),
        hashtextextended(asset_id, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 4),
        hashtextextended(request_url, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 5),
        hashtextextended(referer, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 6),
        hashfloat8extended(metric, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 7),
        hashtextextended(device, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 8),
        hashtextextended(device_family, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 9),
        hashtextextended(browser, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 10),
        hashtextextended(system, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 11),
        hashtextextended(device_type, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 12),
        hashtextextended(request_origin, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 13),
        hashtextextended(event_type, timestamptz_hash_extended(date_bin('30 days', created_at, '2000-01-01 00:00:00+00'), hashtextextended(org_id, 0)) # 14)
    ], NULL)),
    event_metadata jsonb_path_ops
) WITH (gin_pending_list_limit = 2048);

CREATE INDEX tk_analytics_events_time ON tk_analytics_events (org_id, created_at, position);

CREATE UNIQUE INDEX tk_analytics_events_position ON tk_analytics_events (position);

CREATE TABLE tk_analytics_positions (
    id INTEGER NOT NULL,
    last BIGINT NOT NULL,
    instance UUID NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE tk_analytics_deliveries (
    name VARCHAR NOT NULL,
    event_id UUID NOT NULL,
    position BIGINT,
    state VARCHAR NOT NULL,
    attempts INTEGER NOT NULL,
    due_at DOUBLE PRECISION,
    first_tried_at DOUBLE PRECISION,
    settled_at DOUBLE PRECISION,
    owner VARCHAR,
    error VARCHAR,
    PRIMARY KEY (name, event_id)
);

CREATE INDEX tk_analytics_deliveries_event ON tk_analytics_deliveries (event_id);

CREATE INDEX tk_analytics_deliveries_settled ON tk_analytics_deliveries (settled_at) WHERE settled_at IS NOT NULL;

CREATE INDEX tk_analytics_deliveries_open ON tk_analytics_deliveries (name, state, position) WHERE state IN ('pending', 'dead');

CREATE INDEX tk_analytics_deliveries_owner ON tk_analytics_deliveries (owner) WHERE owner IS NOT NULL;

CREATE INDEX tk_analytics_deliveries_later ON tk_analytics_deliveries (name, state, due_at) WHERE due_at IS NOT NULL;

CREATE TABLE tk_analytics_subscriptions (
    name VARCHAR NOT NULL,
    enrolled_at DOUBLE PRECISION NOT NULL,
    backfill_after BIGINT,
    backfill_until BIGINT,
    delivered BIGINT NOT NULL,
    discarded BIGINT NOT NULL,
    "off" VARCHAR,
    PRIMARY KEY (name)
);

CREATE TABLE tk_analytics_tokens (
    id VARCHAR NOT NULL,
    digest BYTEA NOT NULL,
    kind VARCHAR NOT NULL,
    org_id VARCHAR NOT NULL,
    domains JSONB NOT NULL,
    label VARCHAR NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    last_used DATE,
    rotated_from VARCHAR,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX tk_analytics_tokens_digest ON tk_analytics_tokens (digest);

CREATE TABLE tk_analytics_refusals (
    day DATE NOT NULL,
    key VARCHAR NOT NULL,
    org_id VARCHAR NOT NULL,
    token VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (day, key)
);

CREATE TABLE tk_analytics_refusal_samples (
    id BIGSERIAL NOT NULL,
    org_id VARCHAR NOT NULL,
    refused_at TIMESTAMP WITH TIME ZONE NOT NULL,
    token VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    origin VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX tk_analytics_refusal_samples_org ON tk_analytics_refusal_samples (org_id, id);

CREATE TABLE tk_analytics_summed_days (
    org_id VARCHAR NOT NULL,
    day DATE NOT NULL,
    token VARCHAR,
    PRIMARY KEY (org_id, day)
);

CREATE INDEX tk_analytics_summed_days_token ON tk_analytics_summed_days (token) WHERE token IS NOT NULL;

CREATE TABLE tk_analytics_hour_totals (
    org_id VARCHAR NOT NULL,
    event_type VARCHAR NOT NULL,
    day DATE NOT NULL,
    hour INTEGER NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (org_id, event_type, day, hour),
    FOREIGN KEY(org_id, day) REFERENCES tk_analytics_summed_days (org_id, day) ON DELETE CASCADE
);

CREATE INDEX tk_analytics_hour_totals_day ON tk_analytics_hour_totals (org_id, day);

CREATE FUNCTION tk_analytics_insert_forgets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM tk_analytics_summed_days AS summed USING (
        SELECT DISTINCT org_id, CAST(created_at AT TIME ZONE 'UTC' AS date) AS day FROM came
        WHERE position IS NOT NULL
    ) AS changed
    WHERE summed.org_id = changed.org_id AND summed.day = changed.day;
    RETURN NULL;
END $$;

CREATE TRIGGER tk_analytics_insert_forgets AFTER INSERT ON tk_analytics_events
    REFERENCING NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION tk_analytics_insert_forgets();

CREATE FUNCTION tk_analytics_delete_forgets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM tk_analytics_summed_days AS summed USING (
        SELECT DISTINCT org_id, CAST(created_at AT TIME ZONE 'UTC' AS date) AS day FROM went
        WHERE position IS NOT NULL
    ) AS changed
    WHERE summed.org_id = changed.org_id AND summed.day = changed.day;
    RETURN NULL;
END $$;

CREATE TRIGGER tk_analytics_delete_forgets AFTER DELETE ON tk_analytics_events
    REFERENCING OLD TABLE AS went FOR EACH STATEMENT EXECUTE FUNCTION tk_analytics_delete_forgets();

CREATE FUNCTION tk_analytics_update_forgets() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM tk_analytics_summed_days AS summed USING (
        SELECT DISTINCT org_id, CAST(created_at AT TIME ZONE 'UTC' AS date) AS day FROM went
        WHERE position IS NOT NULL
    ) AS changed
    WHERE summed.org_id = changed.org_id AND summed.day = changed.day;
    DELETE FROM tk_analytics_summed_days AS summed USING (
        SELECT DISTINCT org_id, CAST(created_at AT TIME ZONE 'UTC' AS date) AS day FROM came
        WHERE position IS NOT NULL
    ) AS changed
    WHERE summed.org_id = changed.org_id AND summed.day = changed.day;
    RETURN NULL;
END $$;

CREATE TRIGGER tk_analytics_update_forgets AFTER UPDATE ON tk_analytics_events
    REFERENCING OLD TABLE AS went NEW TABLE AS came FOR EACH STATEMENT EXECUTE FUNCTION tk_analytics_update_forgets();
