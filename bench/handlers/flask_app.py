"""A small shop as a Flask application, which knows nothing of the server it runs in.

What it would ask a database for it makes up; `?database_ms=8` says how long that takes.
"""

import json
import time

from flask import Flask, jsonify, render_template, request

from functions import mark_worker

mark_worker()

app = Flask(__name__)

ITEMS = [
    {"name": f"Item {place}", "price": 5 * place, "count": place % 7} for place in range(1, 31)
]


@app.before_request
def ask_database():
    if wait_ms := request.args.get("database_ms", type=int):
        time.sleep(wait_ms / 1e3)


@app.get("/orders/<customer>")
def order(customer):
    number = request.args["number"]
    items = ITEMS[:5]
    total = sum(item["price"] for item in items)
    return jsonify(number=number, customer=customer, items=items, total=total)


@app.get("/pages/<customer>")
def page(customer):
    number = request.args["number"]
    return render_template("page.html", number=number, customer=customer, items=ITEMS)


@app.post("/orders")
def place_order():
    form = request.form
    return jsonify(number=form["number"], name=form["name"], total=5 * int(form["count"]))


@app.post("/call/bench/ready")
def ready():
    """What the bench asks every server until it answers; without the line break of `jsonify`."""
    return app.response_class(json.dumps(request.json["value"]), mimetype="application/json")
