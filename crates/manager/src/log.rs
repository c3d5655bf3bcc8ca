//! What workers print: marked with program and pid, bounded in rate, length and number.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::time::Instant;

/// Lines kept of each program, for `katamari status`.
const KEPT_PER_PROGRAM: usize = 50;
/// Lines of stderr kept of each worker, for the error when it dies in mid-call.
const KEPT_PER_WORKER: usize = 20;
/// Bytes of a line; the rest is cut off.
const LINE_MAX: usize = 4096;

/// The last lines of one program, of all its workers.
#[derive(Debug, Default)]
pub(crate) struct ProgramLog {
    lines: Mutex<VecDeque<String>>,
    dropped: AtomicU64,
}

impl ProgramLog {
    pub fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The last lines that one worker wrote on stderr.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tail(Arc<Mutex<VecDeque<String>>>);

impl Tail {
    pub fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }
}

fn keep(lines: &Mutex<VecDeque<String>>, line: String, most: usize) {
    let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == most {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// Where the lines of one worker's stdout or stderr go.
pub(crate) struct Pump {
    pub program: Arc<str>,
    pub pid: u32,
    pub log: Arc<ProgramLog>,
    /// For stderr.
    pub tail: Option<Tail>,
    pub lines_per_second: u32,
}

impl Pump {
    /// Reads until the pipe ends. It never stops reading, however much comes: a worker must not
    /// block on what it prints.
    pub async fn run(self, mut from: pipe::Receiver) {
        let mut rate = Rate::new(self.lines_per_second, Instant::now());
        let mut line = Vec::new();
        let mut chunk = vec![0; 8192];
        // An error of the pipe is its end.
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            for &byte in &chunk[..count] {
                if byte != b'\n' {
                    if line.len() < LINE_MAX {
                        line.push(byte);
                    }
                    continue;
                }
                self.line(&line, &mut rate);
                line.clear();
            }
        }
        if !line.is_empty() {
            self.line(&line, &mut rate);
        }
    }

    fn line(&self, bytes: &[u8], rate: &mut Rate) {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end();
        if let Some(tail) = &self.tail {
            keep(&tail.0, text.to_owned(), KEPT_PER_WORKER);
        }
        match rate.admit(Instant::now()) {
            Admission::Dropped => {
                self.log.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            Admission::After(0) => {}
            Admission::After(dropped) => {
                tracing::warn!(program = %self.program, pid = self.pid, dropped, "too many log lines");
            }
        }
        tracing::info!(target: "worker", program = %self.program, pid = self.pid, "{text}");
        keep(
            &self.log.lines,
            format!("[{}] {text}", self.pid),
            KEPT_PER_PROGRAM,
        );
    }
}

/// So many lines in each second; a burst may use up a second's worth at once.
struct Rate {
    per_second: u32,
    second: Instant,
    used: u32,
    dropped: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Admission {
    Dropped,
    /// Taken, after so many were dropped.
    After(u64),
}

impl Rate {
    fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            second: now,
            used: 0,
            dropped: 0,
        }
    }

    fn admit(&mut self, now: Instant) -> Admission {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.used = 0;
        }
        if self.used >= self.per_second {
            self.dropped += 1;
            return Admission::Dropped;
        }
        self.used += 1;
        Admission::After(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_to_its_rate_and_counted() {
        let start = Instant::now();
        let mut rate = Rate::new(2, start);
        assert_eq!(rate.admit(start), Admission::After(0));
        assert_eq!(rate.admit(start), Admission::After(0));
        assert_eq!(rate.admit(start), Admission::Dropped);
        assert_eq!(rate.admit(start), Admission::Dropped);
        let later = start + Duration::from_secs(1);
        assert_eq!(rate.admit(later), Admission::After(2));
    }
}
