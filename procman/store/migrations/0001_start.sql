CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE users (
  id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE COLLATE NOCASE, name TEXT, password TEXT, admin INTEGER NOT NULL,
  created_at REAL NOT NULL, updated_at REAL NOT NULL
) STRICT;

CREATE TABLE authorizations (
  id TEXT PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE, token_hash TEXT NOT NULL UNIQUE,
  description TEXT NOT NULL, scope TEXT NOT NULL, session INTEGER NOT NULL, expires_at REAL,
  created_at REAL NOT NULL, updated_at REAL NOT NULL
) STRICT;

CREATE TABLE apps (
  id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, owner_id TEXT NOT NULL REFERENCES users, owner_email TEXT NOT NULL,
  maintenance INTEGER NOT NULL, release_id TEXT, generation INTEGER NOT NULL,
  last_generation INTEGER NOT NULL, uid INTEGER UNIQUE,
  first_port INTEGER NOT NULL UNIQUE, description TEXT,
  created_at REAL NOT NULL, updated_at REAL NOT NULL, released_at REAL
) STRICT;

CREATE TABLE config_vars (
  app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, name TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (app_id, name)
) STRICT;

CREATE TABLE slugs (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, state TEXT NOT NULL,
  process_types TEXT NOT NULL, commit_hash TEXT, commit_description TEXT, checksum TEXT, size INTEGER,
  stack TEXT NOT NULL, description TEXT, facts TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL
) STRICT;

CREATE TABLE releases (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, version INTEGER NOT NULL,
  description TEXT NOT NULL, status TEXT NOT NULL, slug_id TEXT REFERENCES slugs, config TEXT NOT NULL,
  user_id TEXT NOT NULL, user_email TEXT NOT NULL, output TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL,
  UNIQUE (app_id, version)
) STRICT;

CREATE TABLE formation (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, type TEXT NOT NULL,
  quantity INTEGER NOT NULL, size TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL,
  UNIQUE (app_id, type)
) STRICT;

CREATE TABLE builds (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, user_id TEXT NOT NULL,
  user_email TEXT NOT NULL, status TEXT NOT NULL, buildpacks TEXT NOT NULL, source TEXT NOT NULL, commit_hash TEXT,
  slug_id TEXT REFERENCES slugs, release_id TEXT REFERENCES releases ON DELETE SET NULL,
  created_at REAL NOT NULL, updated_at REAL NOT NULL
) STRICT;

CREATE TABLE endpoints (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, name TEXT NOT NULL,
  certificate TEXT NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL, UNIQUE (app_id, name)
) STRICT;

CREATE TABLE domains (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE,
  hostname TEXT NOT NULL UNIQUE COLLATE NOCASE, kind TEXT NOT NULL,
  endpoint_id TEXT REFERENCES endpoints ON DELETE SET NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL
) STRICT;

CREATE TABLE drains (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, url TEXT NOT NULL,
  token TEXT NOT NULL UNIQUE, created_at REAL NOT NULL, updated_at REAL NOT NULL, UNIQUE (app_id, url)
) STRICT;

CREATE TABLE features (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, name TEXT NOT NULL,
  enabled INTEGER NOT NULL, created_at REAL NOT NULL, updated_at REAL NOT NULL, UNIQUE (app_id, name)
) STRICT;

CREATE TABLE buildpacks (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, ordinal INTEGER NOT NULL,
  url TEXT NOT NULL, UNIQUE (app_id, ordinal)
) STRICT;

CREATE TABLE collaborators (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE,
  user_id TEXT NOT NULL REFERENCES users ON DELETE CASCADE, email TEXT NOT NULL, role TEXT NOT NULL,
  created_at REAL NOT NULL, updated_at REAL NOT NULL, UNIQUE (app_id, user_id)
) STRICT;

CREATE TABLE webhooks (
  id TEXT PRIMARY KEY, app_id TEXT NOT NULL REFERENCES apps ON DELETE CASCADE, url TEXT NOT NULL,
  include TEXT NOT NULL, level TEXT NOT NULL, secret TEXT, created_at REAL NOT NULL, updated_at REAL NOT NULL
) STRICT;

CREATE TABLE sources (
  id TEXT PRIMARY KEY, app_id TEXT REFERENCES apps ON DELETE CASCADE, secret TEXT NOT NULL, created_at REAL NOT NULL
) STRICT;

-- No reference to apps: what was done outlives them.
CREATE TABLE changes (
  id TEXT PRIMARY KEY, at REAL NOT NULL, email TEXT NOT NULL, app_id TEXT, app_name TEXT, action TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX changes_by_app ON changes (app_id, at);
