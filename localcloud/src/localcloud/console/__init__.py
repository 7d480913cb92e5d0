"""The console: look at entities, tasks, logs, processes and schedules in a browser, and change them.

It knows nothing of the application. It asks Datastore and Cloud Tasks over their own protocols, reads the
supervisor's state and logs from the data folder, and keeps nothing itself.
"""
