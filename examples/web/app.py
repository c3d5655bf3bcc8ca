"""A shop: an ordinary Flask application that knows nothing of Katamari."""

import hashlib
import os

from flask import Flask, Response, abort, jsonify, request

app = Flask(__name__)
PRICES = {"pear": 30, "fig": 45}


@app.get("/items")
def items():
    return jsonify(sorted(PRICES))


@app.get("/items/<item>")
def price(item):
    if item not in PRICES:
        abort(404)
    return jsonify(PRICES[item] * int(request.args.get("count", 1)))


@app.post("/orders")
def order():
    asked = request.get_json()
    return jsonify(item=asked["item"], pid=os.getpid()), 201


@app.put("/pictures/<item>")
def picture(item):
    seen = hashlib.sha256()
    while piece := request.stream.read(65536):
        seen.update(piece)
    return jsonify(item=item, sha256=seen.hexdigest())


@app.post("/reviews")
def review():
    return jsonify(item=request.form["item"], size=len(request.files["text"].read()))


@app.get("/catalogue")
def catalogue():
    lines = (f"{item} {price}\n" for item, price in sorted(PRICES.items()))
    return Response(lines, mimetype="text/plain")
