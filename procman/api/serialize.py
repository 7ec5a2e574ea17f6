"""Values as the API shows them: Heroku's keys, so that every command of the client finds what it reads."""

from typing import Any

from procman.core.records import App, Authorization, Build, FormationType, Release, Slug, User
from procman.platform.dynos import DynoState, identity
from procman.platform.host import Host, Settings
from procman.platform.plans import stamp

Json = dict[str, Any]


def times(row: Any) -> Json:
    """``created_at`` and ``updated_at``."""
    return {"created_at": stamp(row.created_at), "updated_at": stamp(row.updated_at)}


def reference(app: App) -> Json:
    """An app, where only a pointer to it is wanted."""
    return {"id": app.id, "name": app.name}


def web_url(settings: Settings, app: App) -> str:
    """Where the router serves the app."""
    return f"http://{app.name}.{settings.domain}:{settings.router_port}/"


def app(host: Host, row: App, slug_size: int | None = None, repo_size: int | None = None) -> Json:
    settings = host.settings
    stack = {"id": settings.stack, "name": settings.stack}
    return {
        "id": row.id,
        "name": row.name,
        "web_url": web_url(settings, row),
        "git_url": f"https://{settings.git_host}/{row.name}.git",
        "owner": {"id": row.owner_id, "email": row.owner_email},
        "region": {"id": settings.region, "name": settings.region},
        "stack": stack,
        "build_stack": stack,
        "generation": {"id": "cedar", "name": "cedar"},
        "maintenance": row.maintenance,
        "acm": False,
        "internal_routing": None,
        "space": None,
        "team": None,
        "organization": None,
        "repo_size": repo_size,
        "slug_size": slug_size,
        "buildpack_provided_description": row.description,
        "archived_at": None,
        "released_at": stamp(row.released_at) if row.released_at else None,
        "create_status": "complete",
        **times(row),
    }


def account(user: User) -> Json:
    return {
        "id": user.id,
        "email": user.email,
        "name": user.name,
        "verified": True,
        "beta": False,
        "two_factor_authentication": False,
        "allow_tracking": False,
        "federated": False,
        "last_login": None,
        "delinquent_at": None,
        "suspended_at": None,
        "sms_number": None,
        "default_organization": None,
        "default_team": None,
        "identity_provider": None,
        **times(user),
    }


def authorization(row: Authorization, user: User, now: float, token: str | None = None) -> Json:
    """``token``: only its bearer can know it; it is not kept."""
    expires = round(row.expires_at - now) if row.expires_at is not None else None
    shown = token or "…"
    return {
        "id": row.id,
        "access_token": {"id": row.id, "token": shown, "expires_in": expires},
        "client": None,
        "grant": None,
        "refresh_token": None,
        "session": {"id": row.id} if row.session else None,
        "scope": row.scope,
        "description": row.description,
        "user": {"id": user.id, "email": user.email, "full_name": user.name},
        **times(row),
    }


def formation(row: FormationType, command: str, owner: App) -> Json:
    return {
        "id": row.id,
        "app": reference(owner),
        "type": row.type,
        "quantity": row.quantity,
        "size": row.size,
        "dyno_size": {"id": row.size, "name": row.size},
        "command": command,
        **times(row),
    }


def dyno(row: DynoState, owner: App, release_id: str | None, attach_url: str | None = None) -> Json:
    return {
        "id": identity(owner.id, row),
        "app": reference(owner),
        "name": row.name,
        "type": row.process_type,
        "state": row.state,
        "size": row.size,
        "command": row.command,
        "attach_url": attach_url,
        "last_exit": row.exit,  # ours: Heroku tells of that in the log alone
        "release": {"id": release_id, "version": row.version},
        "created_at": stamp(row.since),
        "updated_at": stamp(row.since),
    }


def release(host: Host, row: Release, owner: App, current: bool, eligible: bool) -> Json:
    output = f"{host.settings.api_url}/outputs/{row.output}" if row.output else None
    return {
        "id": row.id,
        "app": reference(owner),
        "version": row.version,
        "description": row.description,
        "status": row.status,
        "reason": row.reason or None,  # ours: why it failed or expired
        "current": current,
        "eligible_for_rollback": eligible,
        "slug": {"id": row.slug_id} if row.slug_id else None,
        "artifacts": [],
        "user": {"id": row.user_id, "email": row.user_email},
        "addon_plan_names": [],
        "output_stream_url": output,
        **times(row),
    }


def build(host: Host, row: Build, owner: App) -> Json:
    output = row.source.get("output")
    source = {key: value for key, value in row.source.items() if key in ("url", "checksum", "version")}
    return {
        "id": row.id,
        "app": reference(owner),
        "buildpacks": [{"url": url, "name": url.removeprefix("urn:buildpack:")} for url in row.buildpacks],
        "output_stream_url": f"{host.settings.api_url}/outputs/{output}" if output else None,
        "release": {"id": row.release_id} if row.release_id else None,
        "slug": {"id": row.slug_id} if row.slug_id else None,
        "source_blob": {"checksum": None, "version": row.commit_hash, "url": None, **source},
        "stack": host.settings.stack,
        "status": row.status,
        "user": {"id": row.user_id, "email": row.user_email},
        **times(row),
    }


def slug(row: Slug, blob: Json | None = None) -> Json:
    return {
        "id": row.id,
        "blob": blob or {"method": "GET", "url": None},
        "process_types": dict(row.process_types),
        "checksum": row.checksum,
        "commit": row.commit_hash,
        "commit_description": row.commit_description,
        "size": row.size,
        "stack": {"id": row.stack, "name": row.stack},
        "buildpack_provided_description": row.description,
        **times(row),
    }
