"""Deploying, step by step: checks first, then what the application needs, finally the application.

Each step finds out what is there already, so that all of it can be repeated: after a failure it goes on
where it stopped, and later it deploys a new version.
"""

from __future__ import annotations

from pathlib import Path

from deploy import places
from deploy.alerts import Alerts
from deploy.gcloud import Gcloud, Stopped

APIS = (
    "appengine.googleapis.com",
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudtasks.googleapis.com",
    "datastore.googleapis.com",
    "firestore.googleapis.com",
)
DATABASE = "(default)"
TTL_KIND, TTL_PROPERTY = "TaskRecord", "expire_at"

ROLES = (
    ("roles/cloudtasks.enqueuer", "put tasks on the queues"),
    ("roles/cloudtasks.viewer", "see tasks and queues: /api/tasks and the dashboard"),
    ("roles/cloudtasks.taskRunner", "run a task now, from the dashboard"),
    ("roles/cloudtasks.taskDeleter", "delete a task, from the dashboard"),
    ("roles/cloudtasks.queueAdmin", "pause, resume and purge a queue, from the dashboard"),
    ("roles/datastore.user", "read and write entities"),
    (
        "roles/appengine.appViewer",
        "know of the App Engine application (appengine.applications.get): Cloud Tasks wants that of whoever "
        "makes tasks for it",
    ),
    # Newer organisations give the service's account no Editor role; then a deployment's build needs these.
    ("roles/logging.logWriter", "write the build's log"),
    ("roles/storage.objectViewer", "read the uploaded source, to build it"),
    ("roles/artifactregistry.createOnPushWriter", "store what was built"),
)
"""What the account that both services run as may do, and what for."""


class Deployment:
    """Brings `root` to a project. Each method is a step, and raises Stopped if it can't be done."""

    def __init__(
        self,
        gcloud: Gcloud,
        region: str,
        root: Path,
        *,
        pauses_other_queues: bool,
        stage: str | None = None,
        alerts: str | None = None,
    ) -> None:
        """`stage` is the version to deploy without giving it traffic; None: a new one that gets all.

        `alerts` is who gets a mail when /health fails; None: nobody.
        """
        self._gcloud = gcloud
        self._region = region
        self._root = root
        self._pauses_other_queues = pauses_other_queues
        self._stage = stage
        self._alerts = alerts
        self._host = f"{places.app_label(gcloud.project)}.REGION_ID.r.appspot.com"

    def run(self) -> None:
        """All steps, in order."""
        self.check()
        self.enable_apis()
        account = self.create_app()
        self.create_database()
        self.grant_roles(account)
        self.create_indexes()
        self.expire_records()
        self.deploy_queues()
        self.deploy_services()
        if self._alerts:
            Alerts(self._gcloud, self._host, self._alerts).set_up()
        self.tell_addresses()

    def check(self) -> None:
        """Somebody is signed in, the project is there, and it may cost something."""
        gcloud, project = self._gcloud, self._gcloud.project
        gcloud.require()
        gcloud.say("Who is signed in?")
        accounts = gcloud.ask("auth", "list", "--filter=status:ACTIVE", assumed=[{"account": "you"}])
        if not accounts:
            raise Stopped("Nobody is signed in to gcloud. Sign in: gcloud auth login")
        gcloud.note(f"{accounts[0]['account']}.")
        gcloud.say("Is the project there, and ours?")
        found = gcloud.ask(
            "projects",
            "describe",
            project,
            assumed={"lifecycleState": "ACTIVE"},
            mend=f"Is it yours? gcloud projects list. To make it: gcloud projects create {project}",
        )
        if found is None or found.get("lifecycleState") != "ACTIVE":
            raise Stopped(f"There is no active project {project}. Make it: gcloud projects create {project}")
        gcloud.say("Is a billing account linked? App Engine builds nothing without one.")
        billing = gcloud.ask("billing", "projects", "describe", project, assumed={"billingEnabled": True})
        if not (billing or {}).get("billingEnabled"):
            raise Stopped(
                f"No billing account is linked to {project}. Link one of `gcloud billing accounts list`: "
                f"gcloud billing projects link {project} --billing-account=ACCOUNT_ID"
            )

    def enable_apis(self) -> None:
        self._gcloud.say("The APIs that the application and its deployment call. Already enabled ones stay.")
        self._gcloud.change("services", "enable", *APIS)

    def create_app(self) -> str:
        """The App Engine application; returns the e-mail address of the account that it runs as."""
        gcloud, location = self._gcloud, places.app_location(self._region)
        gcloud.say("Is there an App Engine application? Its region is chosen once and never changes.")
        app = gcloud.ask("app", "describe")
        if app is None:
            gcloud.say("There is none: make it.")
            gcloud.change("app", "create", f"--region={location}")
            gcloud.say("Which account does it run as, and what is its address?")
            app = gcloud.ask("app", "describe", assumed={"locationId": location})
        if app is None:
            raise Stopped("App Engine does not know the application yet. Wait a minute and repeat.")
        if app["locationId"] != location:
            there = places.region_of(app["locationId"])
            raise Stopped(
                f"The application of {gcloud.project} is in {there}, and can't be moved to {self._region}. "
                f"Deploy it there: make deploy PROJECT={gcloud.project} REGION={there}"
            )
        self._host = app.get("defaultHostname", self._host)
        return str(
            app.get("serviceAccount") or f"{places.app_label(gcloud.project)}@appspot.gserviceaccount.com"
        )

    def create_database(self) -> None:
        """A Firestore database in Datastore mode, near the application."""
        gcloud = self._gcloud
        gcloud.say("Is there a database? google-cloud-ndb needs the default one, in Datastore mode.")
        database = gcloud.ask("firestore", "databases", "describe", f"--database={DATABASE}")
        if database is None:
            gcloud.say("There is none: make it, where the application is. Its place never changes.")
            gcloud.change(
                "firestore",
                "databases",
                "create",
                f"--database={DATABASE}",
                f"--location={self._region}",
                "--type=datastore-mode",
            )
            return
        if database.get("type") != "DATASTORE_MODE":
            raise Stopped(
                f"The default database of {gcloud.project} is not in Datastore mode. If it is empty: "
                f"gcloud firestore databases update --database='{DATABASE}' --type=datastore-mode "
                f"--project={gcloud.project}. Else deploy to another project"
            )
        gcloud.note(f"In {database.get('locationId')}, {database.get('concurrencyMode', '').lower()}.")
        if database.get("concurrencyMode") == "OPTIMISTIC_WITH_ENTITY_GROUPS":
            gcloud.note("This legacy mode has no TTL policies: records will not be removed by themselves.")

    def grant_roles(self, account: str) -> None:
        """Granting what is granted already changes nothing."""
        gcloud = self._gcloud
        for role, purpose in ROLES:
            gcloud.say(f"The services may {purpose}.")
            gcloud.change(
                "projects",
                "add-iam-policy-binding",
                gcloud.project,
                f"--member=serviceAccount:{account}",
                f"--role={role}",
                "--condition=None",
                "--format=none",
                mend="A new account may take a minute to be known everywhere: repeat.",
            )

    def create_indexes(self) -> None:
        self._gcloud.say(
            "Composite indexes that are missing; none is deleted. They are built while the rest goes on."
        )
        self._gcloud.change("datastore", "indexes", "create", str(self._root / "index.yaml"))

    def expire_records(self) -> None:
        """Records of tasks are removed by Datastore some time after they expired."""
        gcloud = self._gcloud
        kind = f"--collection-group={TTL_KIND}"
        gcloud.say(f"Is there a TTL policy on {TTL_KIND}.{TTL_PROPERTY}?")
        policies = gcloud.ask(
            "firestore", "fields", "ttls", "list", kind, f"--database={DATABASE}", assumed=[]
        )
        if any(str(each.get("name", "")).endswith(f"/fields/{TTL_PROPERTY}") for each in policies or ()):
            gcloud.note("There is.")
            return
        gcloud.say("There is none: without it, the record of every task would stay, and be billed, for ever.")
        gcloud.change(
            "firestore",
            "fields",
            "ttls",
            "update",
            TTL_PROPERTY,
            kind,
            f"--database={DATABASE}",
            "--enable-ttl",
            "--async",
        )

    def deploy_queues(self) -> None:
        """queue.yaml describes all queues of the project: those that it leaves out are paused.

        (So does gcloud; the documentation says disabled. Neither loses what waits in them.)
        """
        gcloud = self._gcloud
        ours = places.queue_names(self._root / "queue.yaml")
        gcloud.say("Which queues are there? Deploying queue.yaml pauses those that it does not list.")
        found = gcloud.ask("tasks", "queues", "list", f"--location={self._region}", assumed=[]) or []
        running = {each["name"].rpartition("/")[2] for each in found if each.get("state") == "RUNNING"}
        foreign = sorted(running - {*ours, "default"})
        if foreign and not self._pauses_other_queues:
            raise Stopped(
                f"{gcloud.project} has queues that queue.yaml does not list, and deploying would pause: "
                f"{', '.join(foreign)}. Add them to queue.yaml, or: make deploy ... OTHER_QUEUES=pause"
            )
        gcloud.say("The queues. A paused one is resumed.")
        gcloud.change("app", "deploy", str(self._root / "queue.yaml"))

    def deploy_services(self) -> None:
        """The default service first: App Engine takes no other one before it."""
        for file in ("app.yaml", "worker.yaml"):
            service = places.service_name(self._root / file)
            if self._stage:
                self._gcloud.say(f"The {service} service: the version {self._stage}, without traffic.")
                how = ["--no-promote", f"--version={self._stage}"]
            else:
                self._gcloud.say(
                    f"The {service} service: a new version, which gets all traffic once it is up."
                )
                how = ["--promote"]
            self._gcloud.change("app", "deploy", str(self._root / file), *how)

    def tell_addresses(self) -> None:
        worker = places.service_name(self._root / "worker.yaml")
        url = f"https://{self._host}"
        print("\nDone." if not self._gcloud.dry_run else "\n# Nothing was run. Afterwards, these are there:")
        for what, address in (
            ("public page", f"{url}/"),
            ("dashboard", f"{url}/admin"),
            ("by hand", f"https://{worker}-dot-{self._host}/update-counter"),
            *self._next_steps(url),
        ):
            print(f"{'# ' if self._gcloud.dry_run else '  '}{what:<12} {address}")

    def _next_steps(self, url: str) -> list[tuple[str, str]]:
        if not self._stage:
            return [("try it", f"make smoke URL={url}")]
        staged = f"https://{self._stage}-dot-{self._host}"
        return [
            ("try it", f"make smoke URL={staged}"),
            ("promote it", f"make promote PROJECT={self._gcloud.project} VERSION={self._stage}"),
        ]
