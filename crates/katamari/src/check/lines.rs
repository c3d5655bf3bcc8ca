//! Workers of dialect `lines`: one JSON object a line, over stdin and stdout.
//!
//! Such a worker cannot say what it is. One that answers a call of `echo` with an error knows no
//! such function and is no conformance worker; any other must pass all cases.

use super::case::{Case, cases};
use super::launch::{Bench, Launched, PATIENCE, QUIET, Read};
use super::verdict::{Trouble, Verdict, expect, shown, unexpected};
use super::worker::json_value;
use manager::dialect::{Broken, Codec, FromWorker, Lines};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a big value.
const BIG_BYTES: usize = 1024 * 1024;

/// How deep values must nest at least.
const DEPTH: usize = 100;

/// A function that nobody has.
const NO_FUNCTION: &str = "there-is-no-such-function";

/// What every worker must do.
pub const CASES: &[Case] = cases! {
    quiet_start => "starts, and says nothing when nobody asks",
    unknown_function => "answers a function that it does not know with one error, and lives on",
    end_of_input => "exits with status 0 at the end of stdin",
    end_after_call => "at the end of stdin, finishes the call that came before",
};

/// What the conformance worker must do.
pub const CONFORMANCE: &[Case] = cases! {
    values => "takes and returns every kind of JSON value unchanged",
    positional => "takes positional arguments",
    any_order => "takes the keys of a call in any order, and white space between them",
    confusing_text => "is not confused by values that look like parts of a call",
    big_value => "takes and returns 1 MiB",
    deep_value => "takes and returns values nested 100 deep",
    one_answer => "answers a call exactly once",
    ids => "answers with the id of the call, if with any",
    many_calls => "answers a hundred calls in a row",
    failure => "answers with an error, and lives on",
    sleeping => "takes the time that a function takes",
};

/// A worker of dialect `lines`.
struct Worker {
    launched: Launched,
    codec: Lines,
    next_id: u64,
}

enum Answer {
    Result(Value),
    Error(String),
}

/// Whether the worker is the conformance worker: it knows `echo`. One that does not answer is taken
/// for it if it is `sound` otherwise, so that a broken `echo` is not passed over.
pub async fn is_conformance_worker(bench: &Bench, sound: bool) -> bool {
    let Ok(mut worker) = start(bench) else {
        return false;
    };
    match worker.call("echo", json!({"value": 1})).await {
        Ok(Answer::Result(_)) => true,
        Ok(Answer::Error(_)) => false,
        Err(_) => sound,
    }
}

fn start(bench: &Bench) -> Verdict<Worker> {
    let codec = Lines::default();
    Ok(Worker {
        launched: bench.launch(codec.manners())?,
        codec,
        next_id: 0,
    })
}

impl Worker {
    /// Sends a call as a manager writes it, and waits for its answer.
    async fn call(&mut self, function: &str, arguments: Value) -> Verdict<Answer> {
        let id = self.send(function, arguments);
        self.answer(id).await
    }

    fn send(&mut self, function: &str, arguments: Value) -> u64 {
        self.next_id += 1;
        let id = self.next_id;
        let line = format!(
            r#"{{"id":{id},"call":"{id:016x}","function":"{function}","timeout_ms":60000,"arguments":{arguments}}}"#
        );
        self.launched.write(line + "\n");
        id
    }

    /// The next answer, which must be to this call.
    async fn answer(&mut self, call: u64) -> Verdict<Answer> {
        let expected = format!("an answer to call {call}");
        let until = Instant::now() + PATIENCE;
        loop {
            let message = self.codec.decode(&mut self.launched.read);
            match message.map_err(|Broken(what)| Trouble::Failed(what))? {
                Some(FromWorker::Reply { id, payload, .. }) if id.is_none_or(|id| id == call) => {
                    return json_value(&payload).map(Answer::Result);
                }
                Some(FromWorker::Error { id, message, .. }) if id.is_none_or(|id| id == call) => {
                    return Ok(Answer::Error(message));
                }
                Some(other) => return unexpected(expected, super::worker::describe(&other)),
                None => {}
            }
            match self.launched.read_more(until).await {
                Read::Some => {}
                Read::End => {
                    let end = self.launched.end_for_people().await;
                    return unexpected(expected, format_args!("the end of stdout; {end}"));
                }
                Read::Late => {
                    let why = "was it written out at once, and is stdin read unbuffered?";
                    return unexpected(expected, format_args!("nothing for {PATIENCE:?}; {why}"));
                }
            }
        }
    }

    /// Makes a call that must succeed.
    async fn result(&mut self, function: &str, arguments: Value) -> Verdict<Value> {
        match self.call(function, arguments).await? {
            Answer::Result(value) => Ok(value),
            Answer::Error(message) => {
                unexpected("a result", format_args!("the error {:?}", shown(message)))
            }
        }
    }

    /// Makes a call that must fail.
    async fn error(&mut self, function: &str, arguments: Value) -> Verdict<String> {
        match self.call(function, arguments).await? {
            Answer::Error(message) => Ok(message),
            Answer::Result(value) => {
                unexpected("an error", format_args!("the result {}", shown(value)))
            }
        }
    }

    async fn echo(&mut self, value: Value) -> Verdict {
        let got = self.result("echo", json!({"value": value})).await?;
        expect(got == value, shown(&value), shown(&got))
    }

    async fn silence(&mut self) -> Verdict {
        let until = Instant::now() + QUIET;
        match self.launched.read_more(until).await {
            Read::Late if self.launched.read.is_empty() => Ok(()),
            Read::End => {
                let end = self.launched.end_for_people().await;
                unexpected("silence", format_args!("the end of stdout; {end}"))
            }
            _ => {
                let got = String::from_utf8_lossy(&self.launched.read).into_owned();
                unexpected("silence", format_args!("{:?}", shown(got)))
            }
        }
    }
}

async fn quiet_start(bench: &Bench) -> Verdict {
    start(bench)?.silence().await
}

async fn unknown_function(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    worker.error(NO_FUNCTION, json!({})).await?;
    worker.silence().await?;
    worker.error(NO_FUNCTION, json!({"a": 1})).await?;
    Ok(())
}

async fn end_of_input(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    worker.error(NO_FUNCTION, json!({})).await?;
    worker.launched.close_input();
    worker.launched.exit_with(0).await
}

async fn end_after_call(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    let call = worker.send(NO_FUNCTION, json!({}));
    worker.launched.close_input();
    worker.answer(call).await?;
    worker.launched.exit_with(0).await
}

async fn values(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    for value in [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(-17),
        json!(9_007_199_254_740_991_u64),
        json!(2.5),
        json!(-1e-7),
        json!(""),
        json!("plain"),
        json!("\"quotes\", back\\slash\\\\, /, tab\t, line\nbreak\r, \u{1f} and \u{7f}"),
        json!("%s %d $0 & \\\\n ' ` ;"),
        json!("gr\u{fc}\u{df} \u{4f60}\u{597d} \u{1f98a} \u{2028}\u{2029} e\u{301}"),
        json!([]),
        json!({}),
        json!([[], {}, [[]], {"a": {}}]),
        json!({"": 0, "\u{e9}\"\n": 1, "a b": [1, "x", null, true, {"b": []}]}),
    ] {
        worker.echo(value).await?;
    }
    Ok(())
}

async fn positional(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    for value in [json!("one"), json!([1, [2]]), json!({"value": "]"})] {
        let got = worker.result("echo", json!([value])).await?;
        expect(got == value, shown(&value), shown(&got))?;
    }
    Ok(())
}

async fn any_order(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    for line in [
        r#" { "arguments" : { "value" : [ 1 , 2 ] } , "function" : "echo" , "id" : 1 } "#,
        r#"{"timeout_ms":5,"arguments":[[1,2]],"call":"{\"","id":1,"function":"echo"}"#,
        "\t{\"id\":1,\t\"function\":\"echo\",\"arguments\":\t[\t[1,2]\t]\t}\r",
    ] {
        worker.launched.write(format!("{line}\n"));
        match worker.answer(1).await? {
            Answer::Result(got) => expect(got == json!([1, 2]), "[1,2]", shown(&got))?,
            Answer::Error(message) => return unexpected("[1,2]", shown(message)),
        }
    }
    Ok(())
}

async fn confusing_text(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    for value in [
        json!("\"function\":\"fail\",\"arguments\":{\"value\":1}"),
        json!({"id": 99, "function": "fail", "arguments": {"value": 1}}),
        json!(["}", "]", "{", "[", "\\", "\"", ",", ":"]),
    ] {
        worker.echo(value).await?;
    }
    let arguments = json!({"other": {"value": 2, "b": "\"value\":3"}, "value": 1});
    let got = worker.result("echo", arguments).await?;
    expect(got == json!(1), 1, shown(&got))
}

async fn big_value(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    worker
        .echo(json!("0123456789abcde\n".repeat(BIG_BYTES / 17)))
        .await
}

async fn deep_value(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{}1{}", open.repeat(DEPTH), close.repeat(DEPTH));
        let value = serde_json::from_str(&text).map_err(|e| Trouble::Failed(e.to_string()))?;
        worker.echo(value).await?;
    }
    Ok(())
}

async fn one_answer(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    worker.echo(json!(1)).await?;
    worker.silence().await
}

async fn ids(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    for id in [0, 7, (1 << 53) - 2] {
        worker.next_id = id;
        worker.echo(json!(1)).await?;
    }
    Ok(())
}

async fn many_calls(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    for number in 0..100 {
        worker.echo(json!(number)).await?;
    }
    Ok(())
}

async fn failure(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    let message = "on purpose: \"gr\u{fc}\u{df}\" \\ \u{1f98a}\nsecond line";
    let got = worker.error("fail", json!({"message": message})).await?;
    expect(
        got == message,
        format_args!("{message:?}"),
        format_args!("{got:?}"),
    )?;
    worker.echo(json!(1)).await
}

async fn sleeping(bench: &Bench) -> Verdict {
    let mut worker = start(bench)?;
    let start = Instant::now();
    let got = worker.result("sleep", json!({"ms": 200})).await?;
    expect(got == json!("slept"), "\"slept\"", shown(&got))?;
    let took = start.elapsed();
    let expected = "an answer after 200 ms";
    expect(
        took >= Duration::from_millis(200),
        expected,
        format_args!("one after {took:?}"),
    )
}
