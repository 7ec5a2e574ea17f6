"""The whole API as one table."""

from procman.api import (
    absent,
    account,
    apps,
    audit,
    authorizations,
    buildpacks,
    collaborators,
    config_vars,
    domains,
    drains,
    dynos,
    features,
    formation,
    log_sessions,
    logins,
    releases,
    slugs,
    webhooks,
)
from procman.api.call import Route

ROUTES: tuple[Route, ...] = (
    *account.ROUTES,
    *authorizations.ROUTES,
    *logins.ROUTES,
    *apps.ROUTES,
    *collaborators.ROUTES,
    *config_vars.ROUTES,
    *releases.ROUTES,
    *slugs.ROUTES,
    *buildpacks.ROUTES,
    *formation.ROUTES,
    *dynos.ROUTES,
    *domains.ROUTES,
    *log_sessions.ROUTES,
    *drains.ROUTES,
    *features.ROUTES,
    *webhooks.ROUTES,
    *audit.ROUTES,
    *absent.ROUTES,
)
