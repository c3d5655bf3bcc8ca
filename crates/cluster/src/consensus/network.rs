//! What masters ask each other, and the seam to whatever carries it.
//!
//! A [`Carrier`] takes a question to another master and brings the answer: links of a mesh in a
//! node (`mesh`), channels with scripted faults in tests. Snapshots go in pieces, so that they
//! never stand in the way of a heartbeat.

use super::types::{Raft, Snapshot, SnapshotMeta, Types, Vote};
use super::{Applied, Change, Refusal};
use bytes::Bytes;
use openraft::error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a snapshot in one question.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes of a snapshot that a master takes: far more than the limits of hard state allow.
const SNAPSHOT_BYTES_MAX: usize = 256 << 20;

/// An answer on its way.
pub type Carried = Pin<Box<dyn Future<Output = Result<Bytes, CarryError>> + Send>>;

/// Brings questions to other masters, and their answers back.
pub trait Carrier: Send + Sync + 'static {
    /// Asks `to`, whose node gives the question to [`Consensus::answer`](super::Consensus::answer).
    fn ask(&self, to: NodeId, question: Bytes, timeout: Duration) -> Carried;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CarryError {
    /// The question was not sent, for sure.
    #[error("expected a link to the other master, got none: {0}")]
    NotSent(Arc<str>),
    /// It was sent, and no answer came.
    #[error("expected an answer of the other master, got none: {0}")]
    NotAnswered(Arc<str>),
}

/// What masters ask each other.
#[derive(Debug, Serialize, Deserialize)]
pub enum Question {
    Append(AppendEntriesRequest<Types>),
    Vote(VoteRequest<Types>),
    PreVote(VoteRequest<Types>),
    HandOver(TransferLeaderRequest<Types>),
    Snapshot(Piece),
    Propose(Change),
}

/// A part of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub struct Piece {
    vote: Vote,
    meta: SnapshotMeta,
    offset: usize,
    is_last: bool,
    data: Bytes,
}

/// The answers, in the order of the questions.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    Append(AppendEntriesResponse<Types>),
    Vote(VoteResponse<Types>),
    PreVote(VoteResponse<Types>),
    HandOver(TransferLeaderResponse<Types>),
    /// The receiver's vote when it has all; none if it waits for more.
    Snapshot(Option<Vote>),
    /// What came of the change.
    Proposed(Result<Applied, Refusal>),
    /// The asked master does not lead, and the change is not in its log.
    NotLeader,
    /// The asked master cannot say.
    Failed(String),
}

/// The asking side, for openraft.
pub struct Network {
    pub carrier: Arc<dyn Carrier>,
    /// How long to wait for an answer.
    pub timeout: Duration,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u32, _node: &()) -> Peer {
        Peer {
            carrier: Arc::clone(&self.carrier),
            timeout: self.timeout,
            node: NodeId(target),
        }
    }
}

/// One other master.
pub struct Peer {
    carrier: Arc<dyn Carrier>,
    timeout: Duration,
    node: NodeId,
}

impl Peer {
    async fn ask(&self, question: &Question, timeout: Duration) -> Result<Answer, RPCError<Types>> {
        let question = encode(question);
        match self.carrier.ask(self.node, question, timeout).await {
            Ok(answer) => match decode(&answer) {
                Ok(Answer::Failed(problem)) => Err(failed(&problem)),
                Ok(answer) => Ok(answer),
                Err(problem) => Err(failed(&problem)),
            },
            // openraft waits longer before it asks again.
            Err(error @ CarryError::NotSent(_)) => {
                Err(RPCError::Unreachable(Unreachable::new(&error)))
            }
            Err(error) => Err(RPCError::Network(NetworkError::new(&error))),
        }
    }
}

fn failed(problem: &str) -> RPCError<Types> {
    RPCError::Network(NetworkError::new(&std::io::Error::other(
        problem.to_owned(),
    )))
}

/// An answer to another question than was asked: a bug of the other side.
fn misfit() -> RPCError<Types> {
    failed("the answer does not fit the question")
}

impl RaftNetworkV2<Types> for Peer {
    type SnapshotData = Bytes;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        match self.ask(&Question::Append(request), self.timeout).await? {
            Answer::Append(response) => Ok(response),
            _ => Err(misfit()),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(&Question::Vote(request), self.timeout).await? {
            Answer::Vote(response) => Ok(response),
            _ => Err(misfit()),
        }
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        _: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        match self.ask(&Question::PreVote(request), self.timeout).await? {
            Answer::PreVote(response) => Ok(response),
            _ => Err(misfit()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        _: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        match self.ask(&Question::HandOver(request), self.timeout).await? {
            Answer::HandOver(response) => Ok(response),
            _ => Err(misfit()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            biased;
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(vote, snapshot) => Ok(SnapshotResponse::new(sent?)),
        }
    }
}

impl Peer {
    /// Sends a snapshot piece by piece; gives back the receiver's vote.
    async fn send_snapshot(&self, vote: Vote, snapshot: Snapshot) -> Result<Vote, RPCError<Types>> {
        let Snapshot { meta, snapshot } = snapshot;
        let mut offset = 0;
        loop {
            let end = snapshot.len().min(offset + PIECE_BYTES);
            let is_last = end == snapshot.len();
            let piece = Question::Snapshot(Piece {
                vote,
                meta: meta.clone(),
                offset,
                is_last,
                data: snapshot.slice(offset..end),
            });
            match self.ask(&piece, self.timeout).await? {
                Answer::Snapshot(Some(theirs)) => return Ok(theirs),
                Answer::Snapshot(None) if !is_last => offset = end,
                _ => return Err(misfit()),
            }
        }
    }
}

/// The answering side of openraft's questions.
#[derive(Debug)]
pub struct Desk {
    /// When a leader was heard last.
    heard: Mutex<Instant>,
    /// The snapshot that comes in: who sends it, of what, and what came so far.
    incoming: Mutex<Option<(Vote, SnapshotMeta, Vec<u8>)>>,
}

impl Desk {
    /// A master that starts now.
    pub fn new() -> Self {
        Self {
            heard: Mutex::new(Instant::now()),
            incoming: Mutex::new(None),
        }
    }

    /// When a leader was heard last; at first, when this master started.
    pub fn heard(&self) -> Instant {
        *lock(&self.heard)
    }

    fn hear(&self) {
        *lock(&self.heard) = Instant::now();
    }

    /// Answers what openraft of another master asks openraft of this one.
    pub async fn answer(&self, raft: &Raft, question: Question) -> Answer {
        let answer = match question {
            Question::Append(request) => raft.append_entries(request).await.map(|response| {
                if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                    self.hear();
                }
                Answer::Append(response)
            }),
            Question::Vote(request) => raft.vote(request).await.map(Answer::Vote),
            Question::PreVote(request) => raft.pre_vote(request).await.map(Answer::PreVote),
            Question::HandOver(request) => {
                let answer = raft.handle_transfer_leader(request).await;
                return answer.map_or_else(cannot, Answer::HandOver);
            }
            Question::Snapshot(piece) => return self.take(raft, piece).await,
            Question::Propose(_) => return Answer::NotLeader,
        };
        answer.unwrap_or_else(cannot)
    }

    /// Takes a piece of a snapshot, and installs it when it is the last.
    async fn take(&self, raft: &Raft, piece: Piece) -> Answer {
        let whole = {
            let mut incoming = lock(&self.incoming);
            if piece.offset == 0 {
                *incoming = Some((piece.vote, piece.meta.clone(), Vec::new()));
            }
            let fits = incoming.as_mut().filter(|(vote, meta, data)| {
                *vote == piece.vote
                    && *meta == piece.meta
                    && data.len() == piece.offset
                    && data.len() + piece.data.len() <= SNAPSHOT_BYTES_MAX
            });
            let Some((_, _, data)) = fits else {
                return cannot("the piece does not continue the snapshot");
            };
            data.extend_from_slice(&piece.data);
            if piece.is_last { incoming.take() } else { None }
        };
        let Some((vote, meta, data)) = whole else {
            return Answer::Snapshot(None);
        };
        let snapshot = Snapshot {
            meta,
            snapshot: data.into(),
        };
        match raft.install_full_snapshot(vote, snapshot).await {
            Ok(response) => {
                self.hear();
                Answer::Snapshot(Some(response.vote))
            }
            Err(error) => cannot(error),
        }
    }
}

fn cannot(problem: impl ToString) -> Answer {
    Answer::Failed(problem.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds it")
}

/// A question or an answer, for a carrier.
pub fn encode<T: Serialize>(message: &T) -> Bytes {
    let bytes = postcard::to_stdvec(message);
    bytes.expect("messages of masters always serialize").into()
}

/// A question or an answer, as a carrier brought it.
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    postcard::from_bytes(bytes)
        .map_err(|error| format!("expected a message of this version's masters, got: {error}"))
}
