"""App Engine's cron: the jobs of cron.yaml, run on their schedules as GET requests to the application.

It runs inside the tasks process, which knows the way to every instance. Nothing here is imported by the
application; `localcloud.tasks` puts it together.
"""
