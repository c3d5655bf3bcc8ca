//! A faceplate over a caller that acts out what each function's name says, and a client that writes
//! HTTP by hand, so that tests see what really goes over the socket.
#![allow(dead_code, reason = "each test program uses a part of this")]

pub mod declared;
pub mod speak;
pub mod thrift;

use dispatch::{
    Answer, Call, CallError, Caller, Code, Credit, Detail, Numbers, PieceSender, Reply, Status,
    Trace, stream,
};
use faceplate::http::Http;
use faceplate::{ClusterView, Faceplate, KINDS, Keys, Limits, Node, Observer, Settings, Standing};
use futures_util::future::{BoxFuture, ready};
use manager::ProgramStatus;
use manager::dialect::http::{CONTENT_TYPE, RequestHead, ResponseHead, pack, unpack};
use pool::{NodeId, PoolId, WorkerId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use term::Payload;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Nothing in these tests takes that long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Casts that the nodes of these tests take.
pub const CASTS_MAX: usize = 2;

pub const WORKER: WorkerId = WorkerId {
    node: NodeId(3),
    number: 42,
};

/// A table of texts, and of tables of texts, as the configuration would be.
struct Table {
    texts: BTreeMap<&'static str, &'static str>,
    pairs: Vec<(&'static str, &'static str, &'static str)>,
    folder: PathBuf,
}

impl Keys for Table {
    fn has(&mut self, key: &'static str) -> bool {
        self.texts.contains_key(key)
    }

    fn text(&mut self, key: &'static str) -> Option<String> {
        self.texts.get(key).map(|text| (*text).to_owned())
    }

    fn texts(
        &mut self,
        _: &'static str,
        _: &str,
        _: usize,
        _: &dyn Fn(&str) -> Result<(), String>,
    ) -> Option<Vec<String>> {
        None
    }

    fn pairs(
        &mut self,
        key: &'static str,
        _: usize,
        take: &mut dyn FnMut(&str, &str) -> Result<(), String>,
    ) {
        for (_, name, value) in self.pairs.iter().filter(|(table, ..)| *table == key) {
            take(name, value).expect("it is good");
        }
    }

    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    fn integer(&mut self, key: &'static str, _: u64, _: u64) -> Option<u64> {
        self.texts.get(key)?.parse().ok()
    }

    fn boolean(&mut self, key: &'static str) -> Option<bool> {
        self.texts.get(key)?.parse().ok()
    }

    fn choice(&mut self, key: &'static str, words: &[&str]) -> Option<usize> {
        let text = self.texts.get(key)?;
        words.iter().position(|word| word == text)
    }

    fn report(&mut self, key: &'static str, message: String) {
        panic!("{key}: {message}");
    }
}

/// A faceplate of a protocol, with keys of its own.
pub fn faceplate<const N: usize>(
    name: &str,
    keys: [(&'static str, &'static str); N],
) -> Arc<dyn Faceplate> {
    configured(name, keys.into(), Vec::new(), PathBuf::new())
}

/// The same with tables: their keys, and what is in them.
pub fn configured(
    name: &str,
    texts: BTreeMap<&'static str, &'static str>,
    pairs: Vec<(&'static str, &'static str, &'static str)>,
    folder: PathBuf,
) -> Arc<dyn Faceplate> {
    let kind = KINDS.iter().find(|kind| kind.name == name);
    let kind = kind.expect("there is such a protocol");
    let mut table = Table {
        texts,
        pairs,
        folder,
    };
    (kind.read)(&mut table).expect("the keys are good")
}

/// Answers calls by their function's name.
pub struct Scripted {
    /// Every call, as it came in.
    pub calls: mpsc::UnboundedSender<Call>,
    /// Says when a call was dropped before its answer.
    pub dropped: mpsc::UnboundedSender<u64>,
    /// The worker's end of each stream that a `held` call began.
    pub held: mpsc::UnboundedSender<PieceSender>,
    /// Bytes that readers of streams have taken.
    pub taken: Arc<AtomicUsize>,
    /// Whether whole requests are answered by the test, piece by piece.
    pub streams_http: Arc<AtomicBool>,
}

struct Taken(Arc<AtomicUsize>);

impl Credit for Taken {
    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::SeqCst);
    }
}

/// Reports a call that is dropped before it is answered.
struct Dropped(u64, Option<mpsc::UnboundedSender<u64>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        if let Some(sender) = &self.1 {
            let _ = sender.send(self.0);
        }
    }
}

impl Scripted {
    async fn act(&self, call: Call) -> Result<Answer, CallError> {
        let json = |text: &str| Ok(Answer::Whole(Payload::Json(text.to_owned().into())));
        match &*call.function.clone() {
            "echo" => Ok(Answer::Whole(call.payload)),
            "null" => json("null"),
            "garbage" => json("{\"a\":"),
            "http" if self.streams_http.load(Ordering::SeqCst) => {
                let (sender, pieces) = stream(Box::new(Taken(self.taken.clone())));
                self.held.send(sender).expect("the test listens");
                Ok(Answer::Stream(pieces))
            }
            "http" => Ok(Answer::Whole(respond(&call.payload))),
            "large" => json(&format!("\"{}\"", "x".repeat(4_000))),
            "png" => Ok(Answer::Whole(Payload::new("image/png", "\u{1}png".into()))),
            "control_character" => Ok(Answer::Whole(Payload::new("a\nb", "x".into()))),
            "hang" => {
                let _guard = Dropped(call.number, Some(self.dropped.clone()));
                std::future::pending().await
            }
            "held" => {
                let (sender, pieces) = stream(Box::new(Taken(self.taken.clone())));
                self.held.send(sender).expect("the test listens");
                Ok(Answer::Stream(pieces))
            }
            "worker_died" => {
                let detail = Detail {
                    program: Some("parse".into()),
                    pid: Some(99),
                    status: Some(3),
                    signal: Some(9),
                    stderr: vec!["one".into(), "two".into()],
                    type_name: Some("ValueError".into()),
                    backtrace: Some("line 1".into()),
                    retry_after: None,
                    poisonous: false,
                    worker: None,
                };
                Err(CallError::new(Code::WorkerDied, "the worker died").with(detail))
            }
            "busy" => {
                let retry_after = Some(Duration::from_millis(1_500));
                Err(CallError::new(Code::Busy, "full").with(Detail {
                    retry_after,
                    ..Detail::default()
                }))
            }
            code => Err(CallError::new(code_of(code), "scripted")),
        }
    }
}

/// What a program answers to a whole request: what it was.
fn respond(request: &Payload) -> Payload {
    let (head, body) = unpack::<RequestHead>(request.bytes()).expect("a packed request");
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let response = ResponseHead {
        status: 418,
        headers: vec![
            header("set-cookie", "a=1"),
            header("set-cookie", "b=2"),
            header("content-length", "999"),
            header("transfer-encoding", "gzip"),
            header("katamari-worker", "another"),
        ],
    };
    let mut seen = serde_json::to_value(&head).expect("a head is JSON");
    seen["body"] = String::from_utf8_lossy(&body).into();
    let packed = pack(&response, seen.to_string().as_bytes());
    Payload::new(CONTENT_TYPE, packed)
}

fn code_of(word: &str) -> Code {
    all_codes()
        .into_iter()
        .find(|code| code.as_str() == word)
        .unwrap_or(Code::NoFunction)
}

pub fn all_codes() -> [Code; 15] {
    [
        Code::BadRequest,
        Code::NoPool,
        Code::NoFunction,
        Code::BadArguments,
        Code::TooLarge,
        Code::Busy,
        Code::Deadline,
        Code::WorkerDied,
        Code::WorkerLost,
        Code::WorkerError,
        Code::Protocol,
        Code::Deadlock,
        Code::NotAllowed,
        Code::Cancelled,
        Code::Stopping,
    ]
}

impl Caller for Scripted {
    fn call(&self, call: Call) -> BoxFuture<'_, Reply> {
        let _ = self.calls.send(call.clone());
        Box::pin(async move {
            let number = call.number;
            let result = self.act(call).await;
            Reply {
                number,
                pool: Some(PoolId(1)),
                worker: Some(WORKER),
                program: None,
                queued: Duration::from_micros(1_250),
                ran: Duration::from_millis(20),
                deadline: None,
                idempotent: false,
                result,
            }
        })
    }
}

/// Sees what it is given.
#[derive(Default)]
pub struct Scene {
    pub dispatcher: Option<dispatch::Dispatcher>,
    pub programs: Mutex<Vec<ProgramStatus>>,
    pub cluster: Option<ClusterView>,
    pub standing: Option<Standing>,
}

impl Observer for Scene {
    fn pools(&self) -> BoxFuture<'_, Option<Status>> {
        Box::pin(async move { self.dispatcher.as_ref()?.status().await })
    }

    fn programs(&self) -> BoxFuture<'_, Vec<ProgramStatus>> {
        Box::pin(ready(self.programs.lock().unwrap().clone()))
    }

    fn why(&self, number: u64) -> BoxFuture<'_, Vec<Trace>> {
        Box::pin(async move {
            match &self.dispatcher {
                Some(dispatcher) => dispatcher.why(number).await.unwrap_or_default(),
                None => Vec::new(),
            }
        })
    }

    fn cluster(&self) -> BoxFuture<'_, Option<ClusterView>> {
        Box::pin(ready(self.cluster.clone()))
    }

    fn standing(&self) -> Option<Standing> {
        self.standing
    }

    fn other_node(&self, node: NodeId) -> Option<Arc<str>> {
        let view = self.cluster.as_ref()?;
        let found = view.nodes.iter().find(|known| known.id == node.0)?;
        Some(found.name.clone())
    }
}

/// A node over a scripted caller, and what the script reports.
pub struct Stage {
    pub node: Arc<Node>,
    pub calls: mpsc::UnboundedReceiver<Call>,
    pub dropped: mpsc::UnboundedReceiver<u64>,
    pub held: mpsc::UnboundedReceiver<PieceSender>,
    pub taken: Arc<AtomicUsize>,
    streams_http: Arc<AtomicBool>,
}

pub fn stage(scene: Scene) -> Stage {
    let (calls_in, calls) = mpsc::unbounded_channel();
    let (dropped_in, dropped) = mpsc::unbounded_channel();
    let (held_in, held) = mpsc::unbounded_channel();
    let taken = Arc::new(AtomicUsize::new(0));
    let streams_http = Arc::new(AtomicBool::new(false));
    let caller = Scripted {
        calls: calls_in,
        dropped: dropped_in,
        held: held_in,
        taken: taken.clone(),
        streams_http: streams_http.clone(),
    };
    let numbers = Arc::new(Numbers::new(0xabc));
    let node = Node::new(
        "here",
        Arc::new(caller),
        Arc::new(scene),
        numbers,
        CASTS_MAX,
    );
    Stage {
        node: Arc::new(node),
        calls,
        dropped,
        held,
        taken,
        streams_http,
    }
}

impl Stage {
    /// From now on whole requests are answered by the test.
    pub fn stream_http(&self) {
        self.streams_http.store(true, Ordering::SeqCst);
    }

    pub async fn next_call(&mut self) -> Call {
        within(self.calls.recv()).await.expect("the script lives")
    }

    pub async fn next_held(&mut self) -> PieceSender {
        within(self.held.recv()).await.expect("the script lives")
    }

    pub async fn next_dropped(&mut self) -> u64 {
        within(self.dropped.recv()).await.expect("the script lives")
    }
}

/// A faceplate on a port of its own.
pub struct Server {
    pub address: SocketAddr,
    pub stage: Stage,
    pub stop: Option<oneshot::Sender<()>>,
    pub task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub async fn start(limits: Limits) -> Self {
        Self::start_with(Scene::default(), limits).await
    }

    pub async fn start_with(scene: Scene, settings: impl Into<Settings>) -> Self {
        Self::of(Arc::new(Http::new(Vec::new())), scene, settings).await
    }

    /// Of any protocol.
    pub async fn of(
        faceplate: Arc<dyn Faceplate>,
        scene: Scene,
        settings: impl Into<Settings>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stage = stage(scene);
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(faceplate::serve(
            listener,
            faceplate,
            stage.node.clone(),
            settings.into(),
            async move {
                let _ = stopped.await;
            },
        ));
        Self {
            address,
            stage,
            stop: Some(stop),
            task,
        }
    }

    pub async fn connect(&self) -> Client<TcpStream> {
        Client(BufReader::new(
            TcpStream::connect(self.address).await.unwrap(),
        ))
    }

    /// One request on a connection of its own.
    pub async fn request(&self, head: &str, body: &str) -> Response {
        let mut client = self.connect().await;
        client.send(head, body).await;
        client.receive().await
    }

    /// `POST` of JSON.
    pub async fn post(&self, path: &str, headers: &str, body: &str) -> Response {
        let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json\r\n{headers}");
        self.request(&head, body).await
    }

    pub async fn rpc(&self, body: &str) -> Response {
        self.post("/rpc", "", body).await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(&format!("GET {path} HTTP/1.1\r\n"), "").await
    }
}

/// One connection of a client.
pub struct Client<S>(pub BufReader<S>);

impl<S: AsyncRead + tokio::io::AsyncWrite + Unpin> Client<S> {
    /// Sends a request; `head` ends with a line break, and gets a host and a length.
    pub async fn send(&mut self, head: &str, body: &str) {
        let host = if head.to_ascii_lowercase().contains("\r\nhost:") {
            ""
        } else {
            "host: localhost\r\n"
        };
        let length = body.len();
        self.write(format!("{head}{host}content-length: {length}\r\n\r\n{body}").as_bytes())
            .await;
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.0
            .get_mut()
            .write_all(bytes)
            .await
            .expect("the server listens");
    }

    /// The next response.
    pub async fn receive(&mut self) -> Response {
        within(async {
            let mut response = self.head().await;
            if response.header("transfer-encoding").is_some() {
                while let Some(chunk) = self.chunk().await {
                    response.body.extend(chunk);
                }
            } else {
                let length = response
                    .header("content-length")
                    .map_or(0, |n| n.parse().unwrap());
                response.body.resize(length, 0);
                self.0.read_exact(&mut response.body).await.unwrap();
            }
            response
        })
        .await
    }

    /// The next response up to its body.
    pub async fn head(&mut self) -> Response {
        let status = self.line().await;
        let status = status
            .split(' ')
            .nth(1)
            .expect("a status line")
            .parse()
            .unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                break;
            };
            headers.push((name.to_owned(), value.to_owned()));
        }
        Response {
            status,
            headers,
            body: Vec::new(),
        }
    }

    /// The next chunk of a chunked body; none after the last.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        let length = usize::from_str_radix(&self.line().await, 16).expect("a chunk");
        let mut chunk = vec![0; length + 2];
        self.0.read_exact(&mut chunk).await.unwrap();
        chunk.truncate(length);
        (length > 0).then_some(chunk)
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        within(self.0.read_line(&mut line)).await.unwrap();
        assert!(
            line.ends_with("\r\n"),
            "the connection ended within {line:?}"
        );
        line.truncate(line.len() - 2);
        line
    }

    /// Waits until the server closes the connection; says what came before that.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = within(self.0.read_to_end(&mut rest)).await;
        if let Err(error) = read {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
        rest
    }
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// Asserts that this is a problem, and gives its detail.
    pub fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let json = self.json();
        assert_eq!(json["status"], status);
        assert_eq!(json["code"], code);
        assert_eq!(json["type"], format!("urn:katamari:error:{code}"));
        assert!(!json["title"].as_str().unwrap().is_empty());
        json["detail"].as_str().unwrap().to_owned()
    }
}

pub async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("it hangs")
}
