DROP TABLE webhooks;
CREATE TABLE webhooks (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, url TEXT NOT NULL,
  include TEXT NOT NULL, level TEXT NOT NULL, secret TEXT NOT NULL, authorization TEXT,
  created_at REAL NOT NULL, updated_at REAL NOT NULL
) STRICT;

CREATE TABLE deliveries (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL, webhook_id TEXT NOT NULL REFERENCES webhooks ON DELETE CASCADE,
  event TEXT NOT NULL, payload TEXT NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL, due_at REAL,
  code INTEGER, error TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL
) STRICT;
CREATE INDEX deliveries_by_due ON deliveries (due_at);

ALTER TABLE endpoints ADD COLUMN facts TEXT NOT NULL DEFAULT '{}';
