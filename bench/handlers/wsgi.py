"""The functions as a WSGI application, for uWSGI, gunicorn and granian.

The requests are the ones Katamari gets: the arguments as a JSON object, posted to the path of the
function.
"""

import json

from functions import FUNCTIONS, mark_worker

mark_worker()

ROUTES = {f"/call/bench/{name}": function for name, function in FUNCTIONS.items()}


def application(environ, start_response):
    function = ROUTES[environ["PATH_INFO"]]
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    answer = json.dumps(function(**json.loads(body))).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
    start_response("200 OK", headers)
    return [answer]
