//! As much HTTP/1.1 as a load generator needs: requests that are built once, and answers read from
//! a buffer without building anything. Every microsecond spent here is taken from the servers,
//! which share the processors with us.

use std::borrow::Cow;
use std::net::SocketAddr;

/// Digits of the number that each request carries and its answer must give back.
const NUMBER_DIGITS: usize = 8;

/// The largest head of an answer we read. A server that needs more is broken.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A request whose bytes are written once; only the number inside changes from call to call.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    number_at: usize,
    close: bool,
    answer: Answer,
}

/// What the right answer to a request is.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// The request's number as a JSON string.
    Number,
    /// A document in which the number stands.
    Document,
}

impl Request {
    /// Posts `{"value": NUMBER, ...more}` to `path` at `host`. `headers` are whole lines without
    /// the line end, `more` is either empty or further members of the object, starting with a
    /// comma. With `close` the connection serves this one call.
    pub fn new(host: SocketAddr, path: &str, headers: &[String], more: &str, close: bool) -> Self {
        let number = "0".repeat(NUMBER_DIGITS);
        let body = format!("{{\"value\":\"{number}\"{more}}}");
        let mut head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\n");
        for line in headers {
            head.push_str(line);
            head.push_str("\r\n");
        }
        if close {
            head.push_str("connection: close\r\n");
        }
        head.push_str("content-type: application/json\r\n");
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        let number_at = head.len() + body.find(&number).expect("the body was built around it");
        head.push_str(&body);
        Self {
            bytes: head.into_bytes(),
            number_at,
            close,
            answer: Answer::Number,
        }
    }

    /// What a browser sends: GET of `target`, or with a `form` POST of that to `target`. The number
    /// is put at the end of the form, or of the target without one, and the right answer is a
    /// document in which it stands. With `close` the connection serves this one call.
    pub fn browse(host: SocketAddr, target: &str, form: Option<&str>, close: bool) -> Self {
        let number = "0".repeat(NUMBER_DIGITS);
        let connection = if close { "close" } else { "keep-alive" };
        let common = format!(
            "host: {host}\r\nuser-agent: Mozilla/5.0\r\naccept: */*\r\n\
             accept-encoding: gzip, deflate\r\nconnection: {connection}\r\n"
        );
        let (text, after) = match form {
            None => {
                let line = format!("GET {target}{number}");
                (line, format!(" HTTP/1.1\r\n{common}\r\n"))
            }
            Some(form) => {
                let length = form.len() + number.len();
                let head = format!(
                    "POST {target} HTTP/1.1\r\n{common}\
                     content-type: application/x-www-form-urlencoded\r\n\
                     content-length: {length}\r\n\r\n"
                );
                (format!("{head}{form}{number}"), String::new())
            }
        };
        Self {
            number_at: text.len() - NUMBER_DIGITS,
            bytes: (text + &after).into_bytes(),
            close,
            answer: Answer::Document,
        }
    }

    /// Whether a body is the right one for the call with this number.
    pub fn is_answered_by(&self, body: &[u8], number: u64) -> bool {
        match self.answer {
            Answer::Number => is_answer_to(body, number),
            Answer::Document => body
                .windows(NUMBER_DIGITS)
                .any(|digits| is_number(digits, number)),
        }
    }

    /// The bytes of the call with this number, of which the last eight digits count.
    pub fn numbered(&mut self, number: u64) -> &[u8] {
        let mut rest = number;
        for place in self.bytes[self.number_at..][..NUMBER_DIGITS]
            .iter_mut()
            .rev()
        {
            *place = b'0' + u8::try_from(rest % 10).expect("a digit is below 10");
            rest /= 10;
        }
        &self.bytes
    }

    /// Whether the connection ends with the answer.
    pub fn close(&self) -> bool {
        self.close
    }
}

/// Whether a body is what the call with this number must get back: its value, as a JSON string.
pub fn is_answer_to(body: &[u8], number: u64) -> bool {
    let Some(digits) = body
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
    else {
        return false;
    };
    is_number(digits, number)
}

fn is_number(digits: &[u8], number: u64) -> bool {
    let modulus = 10_u64.pow(u32::try_from(NUMBER_DIGITS).expect("eight fits"));
    digits.len() == NUMBER_DIGITS
        && digits.iter().all(u8::is_ascii_digit)
        && digits
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
            == number % modulus
}

/// One whole answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The body, put together if it came in chunks.
    pub body: Cow<'a, [u8]>,
    /// Whether the server will take another request on this connection.
    pub keep_alive: bool,
}

/// The bytes are no HTTP/1 answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// How the end of a body is found.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

/// Reads one answer from all bytes that came so far; `None` if it is not whole yet. `ended` says
/// that no more bytes will come.
pub fn parse(bytes: &[u8], ended: bool) -> Result<Option<Response<'_>>, Malformed> {
    let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX {
            Err(Malformed)
        } else {
            Ok(None)
        };
    };
    let (status, framing, keep_alive) = parse_head(&bytes[..head_end])?;
    let rest = &bytes[head_end + 4..];
    let body = match framing {
        Framing::Length(length) => rest.get(..length).map(Cow::Borrowed),
        Framing::Chunked => join_chunks(rest)?.map(Cow::Owned),
        Framing::UntilClose => ended.then_some(Cow::Borrowed(rest)),
    };
    Ok(body.map(|body| Response {
        status,
        body,
        keep_alive,
    }))
}

fn parse_head(head: &[u8]) -> Result<(u16, Framing, bool), Malformed> {
    let mut lines = head.split(|&byte| byte == b'\n');
    let first = lines.next().ok_or(Malformed)?;
    let digits = first
        .strip_prefix(b"HTTP/1.")
        .and_then(|rest| rest.get(2..5))
        .ok_or(Malformed)?;
    let status = std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok());
    let status = status.ok_or(Malformed)?;
    let mut keep_alive = first[7] == b'1';
    let mut framing = Framing::UntilClose;
    for line in lines {
        // Three headers matter, and all begin with these letters: the others cost one comparison.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            continue;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return Err(Malformed);
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
            framing = Framing::Length(text.parse().map_err(|_| Malformed)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case(b"connection") {
            keep_alive = !value.eq_ignore_ascii_case(b"close");
        }
    }
    keep_alive &= !matches!(framing, Framing::UntilClose);
    Ok((status, framing, keep_alive))
}

fn join_chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut body = Vec::new();
    loop {
        let Some(line_end) = rest.windows(2).position(|window| window == b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&rest[..line_end]).map_err(|_| Malformed)?;
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| Malformed)?;
        let start = line_end + 2;
        let Some(chunk) = start.checked_add(size).and_then(|end| rest.get(start..end)) else {
            return Ok(None);
        };
        let Some(line) = rest.get(start + size..start + size + 2) else {
            return Ok(None);
        };
        if line != b"\r\n" {
            // Only the last chunk may be followed by something else, and nobody sends trailers.
            return Err(Malformed);
        }
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(chunk);
        rest = &rest[start + size + 2..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Response<'_> {
        parse(bytes, false).expect("well-formed").expect("whole")
    }

    #[test]
    fn a_request_carries_its_number() {
        let host = SocketAddr::from(([127, 0, 0, 1], 80));
        let headers = ["katamari-idempotent: true".to_owned()];
        let mut request = Request::new(host, "/call/bench/work", &headers, ",\"hang\":true", false);
        let text = String::from_utf8(request.numbered(42).to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.starts_with("POST /call/bench/work HTTP/1.1\r\n"),
            "{head}"
        );
        assert!(head.contains("\r\nkatamari-idempotent: true\r\n"), "{head}");
        assert!(
            head.contains(&format!("\r\ncontent-length: {}", body.len())),
            "{head}"
        );
        assert_eq!(body, "{\"value\":\"00000042\",\"hang\":true}");
        let text = String::from_utf8(request.numbered(1_234_567_890).to_vec()).unwrap();
        assert!(text.contains("\"34567890\""), "{text}");
    }

    #[test]
    fn an_answer_is_checked_against_the_number() {
        assert!(is_answer_to(b"\"00000042\"", 42));
        assert!(is_answer_to(b"\"34567890\"", 1_234_567_890));
        assert!(!is_answer_to(b"\"00000043\"", 42));
        assert!(!is_answer_to(b"\"42\"", 42));
        assert!(!is_answer_to(b"", 42));
    }

    #[test]
    fn a_browser_sends_its_number_in_the_target_or_the_form() {
        let host = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut get = Request::browse(host, "/pages?number=", None, true);
        let text = String::from_utf8(get.numbered(42).to_vec()).unwrap();
        assert!(
            text.starts_with("GET /pages?number=00000042 HTTP/1.1\r\n"),
            "{text}"
        );
        assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n"), "{text}");
        let mut post = Request::browse(host, "/orders", Some("count=2&number="), false);
        let text = String::from_utf8(post.numbered(42).to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /orders HTTP/1.1\r\n"), "{head}");
        assert!(
            head.ends_with(&format!("content-length: {}", body.len())),
            "{head}"
        );
        assert_eq!(body, "count=2&number=00000042");
        assert!(post.is_answered_by(b"<title>Order 00000042</title>", 42));
        assert!(!post.is_answered_by(b"<title>Order 00000043</title>", 42));
        assert!(!post.is_answered_by(b"", 42));
    }

    #[test]
    fn content_length_frames_the_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nCONTENT-LENGTH: 3\r\n\r\n\"x\"";
        let response = whole(bytes);
        assert_eq!(
            (response.status, &*response.body),
            (200, b"\"x\"".as_slice())
        );
        assert!(response.keep_alive);
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end], false), Ok(None), "cut at {end}");
        }
    }

    #[test]
    fn chunks_are_joined() {
        let bytes = b"HTTP/1.1 503 Busy\r\ntransfer-encoding: chunked\r\n\r\n\
                      2\r\nab\r\n1;note\r\nc\r\n0\r\n\r\n";
        let response = whole(bytes);
        assert_eq!((response.status, &*response.body), (503, b"abc".as_slice()));
        assert!(response.keep_alive);
        for end in 0..bytes.len() {
            assert_eq!(parse(&bytes[..end], false), Ok(None), "cut at {end}");
        }
    }

    #[test]
    fn close_and_old_versions_end_the_connection() {
        let closing = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        assert!(!whole(closing).keep_alive);
        assert!(!whole(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n").keep_alive);
        let unframed = b"HTTP/1.1 200 OK\r\n\r\nall of it";
        assert_eq!(parse(unframed, false), Ok(None));
        let response = parse(unframed, true).unwrap().unwrap();
        assert_eq!(&*response.body, b"all of it");
        assert!(!response.keep_alive);
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse(b"SSH-2.0-x\r\n\r\n", false), Err(Malformed));
        assert_eq!(parse(b"HTTP/1.1 abc\r\n\r\n", false), Err(Malformed));
        let length = b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n";
        assert_eq!(parse(length, false), Err(Malformed));
        let chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
        assert_eq!(parse(chunk, false), Err(Malformed));
        assert_eq!(
            parse(&vec![b'x'; HEAD_BYTES_MAX + 1], false),
            Err(Malformed)
        );
    }
}
