"""Flask: a page of the site publishes an event. `flask --app flask_app run`."""

import os

from flask import Flask, jsonify, request
from liveserver_client import ClientError, Publisher

app = Flask(__name__)
publisher = Publisher(os.environ["LIVESERVER_DISPATCHERS"].split(","), give_up_after=5)


@app.post("/videos/<video>/goal")
def goal(video: str):
    try:
        receipt = publisher.publish(video, [{"type": "goal", "data": request.get_json()}])
    except ClientError as error:
        return jsonify(error=str(error)), 502
    return jsonify(accepted=receipt.accepted)
