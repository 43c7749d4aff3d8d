"""Django, in one file: a view of the site publishes an event. `python django_app.py runserver`."""

import json
import os
import sys
from functools import cache

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from liveserver_client import ClientError, Publisher

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY=os.environ.get("SECRET_KEY", "only for this example"),
    ALLOWED_HOSTS=["*"],
)


@cache
def publisher() -> Publisher:
    """Open the process' publisher at the first use, which is after any forking."""
    return Publisher(os.environ["LIVESERVER_DISPATCHERS"].split(","), give_up_after=5)


@csrf_exempt
def goal(request: HttpRequest, video: str) -> JsonResponse:
    try:
        receipt = publisher().publish(video, [{"type": "goal", "data": json.loads(request.body)}])
    except ClientError as error:
        return JsonResponse({"error": str(error)}, status=502)
    return JsonResponse({"accepted": receipt.accepted})


urlpatterns = [path("videos/<str:video>/goal", goal)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
