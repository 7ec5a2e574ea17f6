"""The whole API as one table."""

from procman.api import account, apps, config_vars, dynos, formation, pushes, releases
from procman.api.call import Route

ROUTES: tuple[Route, ...] = (
    *account.ROUTES,
    *apps.ROUTES,
    *config_vars.ROUTES,
    *releases.ROUTES,
    *formation.ROUTES,
    *dynos.ROUTES,
    *pushes.ROUTES,
)
