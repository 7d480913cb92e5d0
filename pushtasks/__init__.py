"""Exactly-once push tasks: the engine. It knows nothing of what an application's tasks do.

A task's life, and who writes what:

1. `enqueue.Tasks.enqueue` chooses the task's name: random, or the hash of its kind and key. Only then does it
   ask the queue (`creation`, `queues`). If an answer gets lost, it asks again under the same name.
2. The queue delivers the task, at least once, to /NAME of the worker (`web.task_handler`).
3. `worker.Worker.deliver` has it parsed, and lets it wait for others of its kind (`group`).
4. `applier.Applier.apply` runs one transaction for all of them. One Lookup reads their records,
   the statistics and whatever they declare. A task that has a record changes nothing: it is a duplicate.
5. `task.Task.apply` makes its changes through `work.Work`: one object for each key, shared by all tasks.
6. The commit writes that, the `TaskRecord` of each task, the statistics, and the follow-ups they asked for.
7. `follow_ups` creates those tasks from what is stored. Then the delivery is answered 2xx, and the queue is
   done with the task.
8. What can never be applied (`Rejected`), or has failed too often by its own fault (`failures`), gets a
   record that says so, and is kept for a person (`kept_tasks`), who enqueues it again or discards it
   (`re_enqueue`).

| a record says | written by                          | the task's effect             |
| ------------- | ----------------------------------- | ----------------------------- |
| applied       | the transaction that applied it     | is there, once                |
| rejected      | the same, in its place              | none; kept for a person       |
| gave-up       | the last failure that is allowed    | none; kept for a person       |
| deleted       | an administrator                    | none; kept for a person       |
| refused       | its parent: no queue would take it  | none; kept for a person       |

The core has no web framework. `web` is for webapp2; `dashboard` is what an application mounts at /admin.
"""
