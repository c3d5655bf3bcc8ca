//! Calls as requests, responses as results.

use super::*;
use http_body_util::BodyExt;
use pool::Details;

fn http(request: &str, parameters: &[&str]) -> Http {
    let (method, path) = request.split_once(' ').expect("a method and a path");
    let parameter = |name: &&str| Parameter {
        name: (*name).into(),
        r#type: Type::Any,
        required: false,
        doc: "".into(),
    };
    let mapped = Function {
        name: "f".into(),
        stream: false,
        parameters: parameters.iter().map(parameter).collect(),
        ..function()
    };
    let path = Template::parse(path, parameters).expect("a good template");
    let method = method.to_owned();
    Http {
        description: Arc::new(Description {
            details: Details::of_kind("k"),
            terms: false,
            functions: vec![mapped, function()],
        }),
        slots: 1,
        health: Health::Connect,
        functions: BTreeMap::from([("f".into(), Request { method, path })]),
    }
}

fn json(text: &str) -> Payload {
    Payload::Json(text.to_owned().into())
}

async fn sent(http: &Http, payload: &Payload) -> (String, String) {
    let request = http.request("f", payload, None).expect("good arguments");
    let line = format!("{} {}", request.method(), request.uri());
    let body = request.into_body().collect().await.expect("a whole body");
    (line, String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

#[tokio::test]
async fn arguments_fill_the_path_and_the_rest_is_body_or_query() {
    let post = http("POST /parse/{lang}", &["lang", "text", "n"]);
    let given = json(r#"{"text": "a", "lang": "e/n?", "n": 1.50}"#);
    let (line, body) = sent(&post, &given).await;
    assert_eq!(line, "POST /parse/e%2Fn%3F");
    assert_eq!(body, r#"{"n":1.50,"text":"a"}"#);
    let get = http("GET /find?fixed=1", &["q", "page"]);
    let (line, body) = sent(&get, &json(r#"["a&b", null]"#)).await;
    assert_eq!((&*line, &*body), ("GET /find?fixed=1&q=a%26b", ""));
}

#[test]
fn a_path_without_its_arguments_or_with_dots_is_refused() {
    let get = http("GET /a/{x}/b", &["x"]);
    for given in ["{}", r#"{"x": null}"#, r#"{"x": ".."}"#] {
        let error = get.request("f", &json(given), None).unwrap_err();
        assert_eq!(error.code, Code::BadArguments, "{given}");
    }
}

#[test]
fn a_packed_message_comes_back_as_it_was() {
    let head = RequestHead {
        method: "PUT".to_owned(),
        target: "/a?b".to_owned(),
        headers: vec![("x-y".to_owned(), "\u{e9}".to_owned())],
        ..RequestHead::default()
    };
    let packed = pack(&head, b"body");
    let (back, body) = unpack::<RequestHead>(&packed).expect("packed above");
    assert_eq!((back, &body[..]), (head, &b"body"[..]));
    let request = http("GET /", &[])
        .request(FUNCTION, &Payload::new(CONTENT_TYPE, packed), None)
        .expect("a good request");
    assert_eq!(request.headers()["x-y"].as_bytes(), b"\xe9");
    assert_eq!(request.headers()["host"], "localhost");
}

#[test]
fn nonsense_in_place_of_a_request_is_refused() {
    let http = http("GET /", &[]);
    let head = |method: &str, target: &str, name: &str| {
        let head = RequestHead {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: vec![(name.to_owned(), "a\nb".to_owned())],
            ..RequestHead::default()
        };
        Payload::new(CONTENT_TYPE, pack(&head, b""))
    };
    let bytes = |bytes: &'static [u8]| Payload::new(CONTENT_TYPE, Bytes::from_static(bytes));
    for payload in [
        json("{}"),
        bytes(b""),
        bytes(b"\0\0\0\x02{"),
        bytes(b"\0\0\0\x02{}"),
        bytes(b"\xff\xff\xff\xff{}"),
        head("G T", "/", "a"),
        head("GET", "http://other/", "a"),
        head("GET", "/ b", "a"),
        head("GET", "/", "a"),
    ] {
        let error = http
            .request(FUNCTION, &payload, None)
            .expect_err("nonsense");
        assert_eq!(error.code, Code::BadArguments);
    }
}

#[test]
fn a_response_is_a_result_by_its_status_and_content_type() {
    let answer = |status: u16, content_type: &'static str, body: &'static str| {
        let headers = HeaderMap::from_iter([(
            hyper::header::CONTENT_TYPE,
            HeaderValue::from_static(content_type),
        )]);
        let status = StatusCode::from_u16(status).expect("a status");
        result(status, &headers, Bytes::from_static(body.as_bytes()))
    };
    assert_eq!(answer(200, "application/json", "[1]"), Ok(json("[1]")));
    assert_eq!(answer(204, "text/html", ""), Ok(json("null")));
    let html = answer(201, "text/html", "<p>").expect("a result");
    assert_eq!(html.content_type(), "text/html");
    let error = answer(404, "text/plain", "no such\n").unwrap_err();
    assert_eq!(error.code, Code::WorkerError);
    assert!(error.message.contains("404"), "{error}");
    assert!(error.message.contains("no such"), "{error}");
    assert!(answer(200, "application/json", "[1").is_err());
}
