"""All tables."""

from procman.core.records import (
    App,
    Authorization,
    Build,
    Buildpack,
    Change,
    Collaborator,
    Delivery,
    Domain,
    Drain,
    Endpoint,
    Feature,
    FormationType,
    Release,
    Slug,
    Source,
    User,
    Webhook,
)
from procman.store.table import Table

users = Table("users", User)
authorizations = Table("authorizations", Authorization)
apps = Table("apps", App, order="name")
slugs = Table("slugs", Slug)
releases = Table("releases", Release, order="version")
formation = Table("formation", FormationType, order="type")
builds = Table("builds", Build)
domains = Table("domains", Domain)
endpoints = Table("endpoints", Endpoint)
drains = Table("drains", Drain)
features = Table("features", Feature)
buildpacks = Table("buildpacks", Buildpack, order="ordinal")
collaborators = Table("collaborators", Collaborator)
webhooks = Table("webhooks", Webhook)
deliveries = Table("deliveries", Delivery)
changes = Table("changes", Change, order="at, id")
sources = Table("sources", Source)
