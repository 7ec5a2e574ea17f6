"""What Heroku has and this server has not: answered truthfully, in the shape that the client understands."""

from procman.api.call import Answer, Call, Handler, Right, Route
from procman.platform.refusals import invalid, missing

ADDONS = (
    "Add-ons of Heroku's marketplace cannot be had here. Run the service yourself and name it in a config var: "
    "heroku config:set DATABASE_URL=..."
)
ACM = "Automated certificates cannot be had here. Add one of your own: heroku certs:add CERT KEY"
SSH_KEYS = "SSH keys are not used here: git goes over HTTPS, with the key that heroku login keeps."
TEAMS = "There are no teams here. Let others work on an app with heroku access:add EMAIL"
PIPELINES = "There are no pipelines here."
SPACES = "There are no private spaces here: an app runs on this host."
CLIENTS = "There are no OAuth clients here. Make a key instead: heroku authorizations:create"


async def nothing(call: Call) -> Answer:
    """A list of what there is none of."""
    return Answer([])


def lacking(resource: str) -> Handler:
    """404 for any of them."""

    async def handle(call: Call) -> Answer:
        raise missing(resource)

    return handle


def refusing(message: str) -> Handler:
    """422 with the reason."""

    async def handle(call: Call) -> Answer:
        raise invalid(message)

    return handle


APP = "/apps/{app}"
ROUTES = (
    Route("GET", f"{APP}/addons", nothing, Right.APP),
    Route("POST", f"{APP}/addons", refusing(ADDONS), Right.APP),
    Route("GET", f"{APP}/addons/{{addon}}", lacking("add on"), Right.APP),
    Route("GET", f"{APP}/addon-attachments", nothing, Right.APP),
    Route("GET", f"{APP}/addon-attachments/{{attachment}}", lacking("add on attachment"), Right.APP),
    Route("GET", "/addons", nothing, Right.USER),
    Route("GET", "/addons/{addon}", lacking("add on"), Right.USER),
    Route("GET", "/addon-attachments", nothing, Right.USER),
    Route("POST", "/addon-attachments", refusing(ADDONS), Right.USER),
    Route("GET", "/addon-services", nothing, Right.USER),
    Route("GET", "/addon-services/{service}", lacking("add on service"), Right.USER),
    Route("GET", "/addon-services/{service}/plans", lacking("add on service"), Right.USER),
    Route("POST", "/actions/addons/resolve", lacking("add on"), Right.USER),
    Route("POST", "/actions/addon-attachments/resolve", lacking("add on attachment"), Right.USER),
    Route("POST", f"{APP}/acm", refusing(ACM), Right.APP),
    Route("PATCH", f"{APP}/acm", refusing(ACM), Right.APP),
    Route("DELETE", f"{APP}/acm", refusing(ACM), Right.APP),
    Route("GET", f"{APP}/pipeline-couplings", lacking("pipeline coupling"), Right.APP),
    Route("GET", "/pipelines", nothing, Right.USER),
    Route("POST", "/pipelines", refusing(PIPELINES), Right.USER),
    Route("GET", "/pipelines/{pipeline}", lacking("pipeline"), Right.USER),
    Route("GET", "/teams", nothing, Right.USER),
    Route("POST", "/teams", refusing(TEAMS), Right.USER),
    Route("POST", "/teams/apps", refusing(TEAMS), Right.USER),
    Route("GET", "/teams/{team}", lacking("team"), Right.USER),
    Route("GET", "/teams/{team}/apps", lacking("team"), Right.USER),
    Route("GET", "/teams/{team}/members", lacking("team"), Right.USER),
    Route("GET", "/teams/apps/{app}", lacking("team app"), Right.APP),
    Route("PATCH", "/teams/apps/{app}", refusing(TEAMS), Right.APP),
    Route("POST", "/teams/apps/{app}/collaborators", refusing(TEAMS), Right.APP),
    Route("PATCH", "/teams/apps/{app}/collaborators/{who}", refusing(TEAMS), Right.APP),
    Route("GET", "/spaces", nothing, Right.USER),
    Route("POST", "/spaces", refusing(SPACES), Right.USER),
    Route("GET", "/spaces/{space}", lacking("space"), Right.USER),
    Route("GET", "/oauth/clients", nothing, Right.USER),
    Route("POST", "/oauth/clients", refusing(CLIENTS), Right.USER),
    Route("GET", "/oauth/clients/{client}", lacking("OAuth client"), Right.USER),
    Route("GET", "/account/keys", nothing, Right.USER),
    Route("POST", "/account/keys", refusing(SSH_KEYS), Right.USER),
    Route("GET", f"{APP}/telemetry-drains", nothing, Right.APP),
)
