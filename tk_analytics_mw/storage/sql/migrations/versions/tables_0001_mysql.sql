CREATE TABLE tk_analytics_events (
    id CHAR(36) {ascii} NOT NULL,
    `position` BIGINT,
    created_at DATETIME(3) NOT NULL,
    event_type VARCHAR(200) {exact} NOT NULL,
    spelling VARCHAR(200) {exact} NOT NULL,
    org_id VARCHAR(200) {exact} NOT NULL,
    session_id VARCHAR(200) {exact} NOT NULL,
    event_metadata LONGTEXT {exact},
    asset_id VARCHAR(200) {exact},
    user_id VARCHAR(200) {exact},
    config_id VARCHAR(200) {exact},
    configuration LONGTEXT {exact},
    device MEDIUMTEXT {exact},
    device_type VARCHAR(200) {exact},
    device_family MEDIUMTEXT {exact},
    `system` MEDIUMTEXT {exact},
    browser MEDIUMTEXT {exact},
    user_agent MEDIUMTEXT {exact},
    metric DOUBLE NOT NULL,
    request_url MEDIUMTEXT {exact},
    request_origin MEDIUMTEXT {exact},
    referer MEDIUMTEXT {exact} NOT NULL,
    idempotency_key VARCHAR(450) {exact},
    PRIMARY KEY (id)
) {options};

CREATE INDEX tk_analytics_events_user ON tk_analytics_events (org_id, user_id);

CREATE INDEX tk_analytics_events_session ON tk_analytics_events (org_id, session_id);

CREATE UNIQUE INDEX tk_analytics_events_idempotency ON tk_analytics_events (org_id, idempotency_key);

CREATE INDEX tk_analytics_events_time ON tk_analytics_events (org_id, created_at, `position`);

CREATE UNIQUE INDEX tk_analytics_events_position ON tk_analytics_events (`position`);

CREATE TABLE tk_analytics_positions (
    id INTEGER NOT NULL,
    last BIGINT NOT NULL,
    instance CHAR(36) {ascii} NOT NULL,
    PRIMARY KEY (id)
) {options};

CREATE TABLE tk_analytics_deliveries (
    name VARCHAR(200) {exact} NOT NULL,
    event_id CHAR(36) {ascii} NOT NULL,
    `position` BIGINT,
    state VARCHAR(20) {exact} NOT NULL,
    attempts INTEGER NOT NULL,
    due_at DOUBLE,
    first_tried_at DOUBLE,
    settled_at DOUBLE,
    owner VARCHAR(200) {exact},
    error MEDIUMTEXT {exact},
    PRIMARY KEY (name, event_id)
) {options};

CREATE INDEX tk_analytics_deliveries_event ON tk_analytics_deliveries (event_id);

CREATE INDEX tk_analytics_deliveries_settled ON tk_analytics_deliveries (settled_at);

CREATE INDEX tk_analytics_deliveries_open ON tk_analytics_deliveries (name, state, `position`);

CREATE INDEX tk_analytics_deliveries_owner ON tk_analytics_deliveries (owner);

CREATE INDEX tk_analytics_deliveries_later ON tk_analytics_deliveries (name, state, due_at);

CREATE TABLE tk_analytics_subscriptions (
    name VARCHAR(200) {exact} NOT NULL,
    enrolled_at DOUBLE NOT NULL,
    backfill_after BIGINT,
    backfill_until BIGINT,
    delivered BIGINT NOT NULL,
    discarded BIGINT NOT NULL,
    off MEDIUMTEXT {exact},
    PRIMARY KEY (name)
) {options};

CREATE TABLE tk_analytics_tokens (
    id VARCHAR(200) {exact} NOT NULL,
    digest BLOB(32) NOT NULL,
    kind VARCHAR(20) {exact} NOT NULL,
    org_id VARCHAR(200) {exact} NOT NULL,
    domains LONGTEXT {exact} NOT NULL,
    label MEDIUMTEXT {exact} NOT NULL,
    created_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6),
    revoked_at DATETIME(6),
    last_used DATE,
    rotated_from VARCHAR(200) {exact},
    PRIMARY KEY (id)
) {options};

CREATE UNIQUE INDEX tk_analytics_tokens_digest ON tk_analytics_tokens (digest(32));

CREATE TABLE tk_analytics_refusals (
    day DATE NOT NULL,
    `key` VARCHAR(64) {exact} NOT NULL,
    org_id VARCHAR(200) {exact} NOT NULL,
    token MEDIUMTEXT {exact} NOT NULL,
    reason MEDIUMTEXT {exact} NOT NULL,
    origin MEDIUMTEXT {exact} NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (day, `key`)
) {options};

CREATE TABLE tk_analytics_refusal_samples (
    id BIGINT NOT NULL AUTO_INCREMENT,
    org_id VARCHAR(200) {exact} NOT NULL,
    refused_at DATETIME(6) NOT NULL,
    token MEDIUMTEXT {exact} NOT NULL,
    reason MEDIUMTEXT {exact} NOT NULL,
    origin MEDIUMTEXT {exact} NOT NULL,
    path MEDIUMTEXT {exact} NOT NULL,
    PRIMARY KEY (id)
) {options};

CREATE INDEX tk_analytics_refusal_samples_org ON tk_analytics_refusal_samples (org_id, id);

CREATE TABLE tk_analytics_summed_days (
    org_id VARCHAR(200) {exact} NOT NULL,
    day DATE NOT NULL,
    token VARCHAR(32) {exact},
    PRIMARY KEY (org_id, day)
) {options};

CREATE INDEX tk_analytics_summed_days_token ON tk_analytics_summed_days (token);

CREATE TABLE tk_analytics_hour_totals (
    org_id VARCHAR(200) {exact} NOT NULL,
    event_type VARCHAR(200) {exact} NOT NULL,
    day DATE NOT NULL,
    hour INTEGER NOT NULL,
    events BIGINT NOT NULL,
    PRIMARY KEY (org_id, event_type, day, hour),
    FOREIGN KEY(org_id, day) REFERENCES tk_analytics_summed_days (org_id, day) ON DELETE CASCADE
) {options};

CREATE INDEX tk_analytics_hour_totals_day ON tk_analytics_hour_totals (org_id, day);
