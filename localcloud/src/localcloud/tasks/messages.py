"""The wire's message classes, bare: without the client library's wrappers, which cost several times as much.

They come from the packages that Google ships; nothing generated is kept here. Protobuf makes its classes at
run time, so there is no static type to name: `Message` stands for any of them.
"""

from typing import Any, TypeAlias

from google.cloud.location import locations_pb2
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, field_mask_pb2
from google.rpc import status_pb2

from localcloud.message_types import without_clients
from localcloud.tasks.clock import SECOND_US

with without_clients("google.cloud.tasks_v2", "google.cloud.tasks_v2beta3"):
    from google.cloud.tasks_v2.types import cloudtasks, queue, target, task
    from google.cloud.tasks_v2beta3.types import cloudtasks as beta_cloudtasks
    from google.cloud.tasks_v2beta3.types import queue as beta_queue
    from google.cloud.tasks_v2beta3.types import task as beta_task

Message: TypeAlias = Any

Task: Message = task.Task.pb()
Queue: Message = queue.Queue.pb()
HttpRequest: Message = target.HttpRequest.pb()
HttpTarget: Message = target.HttpTarget.pb()
UriOverride: Message = target.UriOverride.pb()
CreateTaskRequest: Message = cloudtasks.CreateTaskRequest.pb()
BatchCreateTasksRequest: Message = cloudtasks.BatchCreateTasksRequest.pb()
BatchCreateTasksResponse: Message = cloudtasks.BatchCreateTasksResponse.pb()
BatchCreateTasksMetadata: Message = cloudtasks.BatchCreateTasksMetadata.pb()
BatchDeleteTasksRequest: Message = cloudtasks.BatchDeleteTasksRequest.pb()
BatchDeleteTasksMetadata: Message = cloudtasks.BatchDeleteTasksMetadata.pb()
GetTaskRequest: Message = cloudtasks.GetTaskRequest.pb()
ListTasksRequest: Message = cloudtasks.ListTasksRequest.pb()
ListTasksResponse: Message = cloudtasks.ListTasksResponse.pb()
DeleteTaskRequest: Message = cloudtasks.DeleteTaskRequest.pb()
RunTaskRequest: Message = cloudtasks.RunTaskRequest.pb()
CreateQueueRequest: Message = cloudtasks.CreateQueueRequest.pb()
GetQueueRequest: Message = cloudtasks.GetQueueRequest.pb()
ListQueuesRequest: Message = cloudtasks.ListQueuesRequest.pb()
ListQueuesResponse: Message = cloudtasks.ListQueuesResponse.pb()
UpdateQueueRequest: Message = cloudtasks.UpdateQueueRequest.pb()
DeleteQueueRequest: Message = cloudtasks.DeleteQueueRequest.pb()
PurgeQueueRequest: Message = cloudtasks.PurgeQueueRequest.pb()
PauseQueueRequest: Message = cloudtasks.PauseQueueRequest.pb()
ResumeQueueRequest: Message = cloudtasks.ResumeQueueRequest.pb()
BetaQueue: Message = beta_queue.Queue.pb()
BetaTask: Message = beta_task.Task.pb()
BetaCreateQueueRequest: Message = beta_cloudtasks.CreateQueueRequest.pb()
BetaUpdateQueueRequest: Message = beta_cloudtasks.UpdateQueueRequest.pb()
BetaDeleteQueueRequest: Message = beta_cloudtasks.DeleteQueueRequest.pb()
BetaPurgeQueueRequest: Message = beta_cloudtasks.PurgeQueueRequest.pb()
BetaPauseQueueRequest: Message = beta_cloudtasks.PauseQueueRequest.pb()
BetaResumeQueueRequest: Message = beta_cloudtasks.ResumeQueueRequest.pb()
BetaCreateTaskRequest: Message = beta_cloudtasks.CreateTaskRequest.pb()
BetaGetTaskRequest: Message = beta_cloudtasks.GetTaskRequest.pb()
BetaListTasksRequest: Message = beta_cloudtasks.ListTasksRequest.pb()
BetaListTasksResponse: Message = beta_cloudtasks.ListTasksResponse.pb()
BetaDeleteTaskRequest: Message = beta_cloudtasks.DeleteTaskRequest.pb()
BetaRunTaskRequest: Message = beta_cloudtasks.RunTaskRequest.pb()
BetaGetQueueRequest: Message = beta_cloudtasks.GetQueueRequest.pb()
BetaListQueuesRequest: Message = beta_cloudtasks.ListQueuesRequest.pb()
BetaListQueuesResponse: Message = beta_cloudtasks.ListQueuesResponse.pb()
FieldMask: Message = field_mask_pb2.FieldMask
Empty: Message = empty_pb2.Empty
Status: Message = status_pb2.Status
Operation: Message = operations_pb2.Operation
GetOperationRequest: Message = operations_pb2.GetOperationRequest
Location: Message = locations_pb2.Location
GetLocationRequest: Message = locations_pb2.GetLocationRequest
ListLocationsRequest: Message = locations_pb2.ListLocationsRequest
ListLocationsResponse: Message = locations_pb2.ListLocationsResponse

BASIC_VIEW: int = Task.View.Value("BASIC")
FULL_VIEW: int = Task.View.Value("FULL")
# The names of google.cloud.tasks.v2.HttpMethod by number; 0, unspecified, means POST.
HTTP_METHODS = ("POST", "POST", "GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")


def set_us(message: Message, time_us: int) -> None:
    """Set a Timestamp or a Duration to `time_us` microseconds."""
    message.seconds, remainder_us = divmod(time_us, SECOND_US)
    message.nanos = remainder_us * 1000


def to_us(message: Message) -> int:
    """A Timestamp or a Duration in microseconds, cut to whole ones."""
    return int(message.seconds) * SECOND_US + int(message.nanos) // 1000
