"""A web application behind the tests of HTTP's clients: what browsers do to one."""

from flask import Flask, Response, jsonify, make_response, redirect, request

app = Flask(__name__)


@app.post("/site/upload")
def upload():
    file = request.files["file"]
    return jsonify(name=file.filename, size=len(file.read()), note=request.form["note"])


@app.get("/site/visits")
def visits():
    count = str(int(request.cookies.get("visits", 0)) + 1)
    response = make_response(count)
    response.set_cookie("visits", count, path="/site")
    return response


@app.get("/site/moved")
def moved():
    return redirect("/site/visits", 303)


@app.get("/site/lines")
def lines():
    return Response((f"{number}\n" for number in (1, 2, 3)), mimetype="text/plain")
