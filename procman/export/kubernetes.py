"""Manifests for `kubectl apply -f`: a Secret, a Deployment for each process type, a Service for web."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from honcho.export.base import File

from procman.core.health import Checks
from procman.export.exporter import Exporter
from procman.export.processes import Process, by_type, shared_env
from procman.export.quoting import label


class Export(Exporter):
    """Exporter for Kubernetes. DYNO is the pod's name, as on Heroku's Fir: replicas have no numbers."""

    format = "kubernetes"
    in_image = True

    def files(self, processes: list[Process], context: dict[str, Any]) -> Iterator[File]:
        """The Secret's file first: what follows refers to it."""
        app = label(context["app"])
        user = context["given_user"]
        if user is not None and not (user.isascii() and user.isdigit()):
            raise ValueError(f"Kubernetes knows users by number, and '{user}' is a name")
        env = shared_env(processes[0])
        # Pods are replaced when this changes: a Secret that changes alone is noticed by none.
        version = hashlib.sha256(json.dumps(env, sort_keys=True).encode()).hexdigest()[:16]
        context = {**context, "app": app, "user_number": user, "env": env, "env_version": version}
        yield File(f"{app}-env.yaml", self.get_template("secret.yaml").render(context))
        for kind, dynos in by_type(processes):
            name = label(f"{app}-{kind}")
            here = {**context, "name": name, "component": label(kind), "process": dynos[0], "quantity": len(dynos)}
            here.update(asked_of(dynos[0]))
            yield File(f"{name}.yaml", self.get_template("deployment.yaml").render(here))


def asked_of(process: Process) -> dict[str, Any]:
    """What the kubelet is to ask. It hears no sd_notify: where that is wanted, it asks nothing, or for the port."""
    checks = process.checks or Checks()
    ready, live = ((probe if probe and not probe.notify else None) for probe in (checks.ready, checks.live))
    listens = process.is_web or any(probe and probe.http for probe in (ready, live))
    return {"checks": checks, "ready": ready, "live": live, "listens": listens}
